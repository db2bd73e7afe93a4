import type { PrivateApiConfig } from '../../config/config.ts';
import type { Bind } from '../../net/listen.ts';
import type { Metrics } from '../../observability/metrics.ts';
import type { Store } from '../../store/store.ts';
import type { Inspector } from '../debug.ts';
import type { Readiness } from '../readiness.ts';
import type { Usage } from '../usage.ts';

/** What a worker shares with its siblings, in place of what a server alone has to itself (docs/architecture.md, more cores). */
export interface WorkerPlace {
  /** Listens on the ports that all workers share. */
  readonly bind: Bind;
  readonly store: Store;
  readonly usage: Usage;
  /** The worker's own private API, for its siblings alone. */
  readonly privateApi: PrivateApiConfig;
  /** The private APIs of the siblings that have tunnels of the agent. */
  siblingsOf(agentId: bigint): readonly string[];
  /** Whoever answers probes and scrapes, and looks into processes, for all workers asks these from now on. */
  observe(own: { readonly readiness: Readiness; readonly metrics: Metrics; readonly inspector: Inspector }): void;
  /** All ports are open. */
  ready(): void;
  /** This worker takes no requests any more, and leaves. Resolves when that is so of all workers. */
  together(): Promise<void>;
}
