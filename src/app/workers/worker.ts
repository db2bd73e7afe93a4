import type { Config, PrivateApiConfig } from '../../config/config.ts';
import { Secret } from '../../config/secret.ts';
import { bindThrough } from '../../net/bind_through.ts';
import type { Log } from '../../observability/log.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Link } from '../../runtime/link.ts';
import { Scope } from '../../runtime/scope.ts';
import { MemoryUsageCounters } from '../../store/memory/usage_counters.ts';
import { createStoreClient } from '../../store/shared/store_client.ts';
import { UsageHandOver } from '../../store/shared/usage_hand_over.ts';
import { WorkerTunnels } from '../../store/shared/worker_tunnels.ts';
import type { TunnelDirectory } from '../../store/tunnel_directory.ts';
import type { Health } from '../readiness.ts';
import { runServer } from '../server.ts';
import { isUsageReported, type Usage, uncounted } from '../usage.ts';
import { answerInspection } from './inspection.ts';
import type { StartMessage } from './start_message.ts';
import type { WorkerPlace } from './worker_place.ts';

const SIBLING_CONNECTION_AGE_MS = 2 * 60 * 60_000;

interface WorkerOptions {
  readonly link: Link;
  readonly start: StartMessage;
  readonly config: Config;
  readonly log: Log;
  readonly grpcLog: Log;
  readonly droppedLogLines: () => number;
}

/**
 * Runs the server as one of several workers, until the primary process at the other end of the link says that all are to leave.
 * @throws AppError if it cannot start
 */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { link, config, log, grpcLog, droppedLogLines } = options;
  const shutdown = new AbortController();
  link.on('worker.shutdown', () => shutdown.abort());
  const scope = new Scope(systemClock);
  try {
    const worker = createPlace(options, scope);
    await runServer({ config, log, grpcLog, droppedLogLines, signal: shutdown.signal, worker });
  } finally {
    scope.close();
  }
}

function createPlace({ link, start, config, log }: WorkerOptions, scope: Scope): WorkerPlace {
  const usageCounters = new MemoryUsageCounters();
  const ownUrl = `unix://${start.ownSocket}`;
  const tunnelDirectory = new WorkerTunnels({ link, ownUrl, elsewhere: config.redis && otherMachines(link) });
  link.tell('worker.joins', ownUrl);
  return {
    bind: bindThrough(link, scope),
    store: { ...createStoreClient(link, log), tunnelDirectory, usageCounters },
    privateApi: privateApiForSiblings(start, config.privateApi),
    siblingsOf: (agentId) => tunnelDirectory.siblingsOf(agentId),
    usage: isUsageReported(config) ? handOver(usageCounters, link, scope) : uncounted,
    observe({ readiness, metrics, inspector }) {
      link.on('worker.health', (): Health => readiness.health);
      link.on('worker.metrics', () => metrics.registry.getMetricsAsJSON());
      answerInspection(link, inspector);
    },
    ready: () => link.tell('worker.ready'),
    together: () => link.call<void>('worker.closed').catch(() => {}),
  };
}

/** Where siblings call, and how. They know each other as nodes do, by the secret that is configured for those if there is one. */
function privateApiForSiblings(start: StartMessage, configured: PrivateApiConfig | undefined): PrivateApiConfig {
  const { listen, ownUrls, tlsServerName } = configured ?? {};
  return {
    listen: {
      network: 'unix',
      address: start.ownSocket,
      tls: undefined,
      listenGracePeriodMs: listen?.listenGracePeriodMs ?? 0,
      maxConnectionAgeMs: listen?.maxConnectionAgeMs ?? SIBLING_CONNECTION_AGE_MS,
      authenticationSecret: listen?.authenticationSecret ?? new Secret(start.secret),
      caCertificateFile: listen?.caCertificateFile,
    },
    ownUrls: [`unix://${start.ownSocket}`, ...(ownUrls ?? [])],
    tlsServerName: tlsServerName ?? '',
  };
}

/** What the store of the primary process knows of them. */
function otherMachines(link: Link): Pick<TunnelDirectory, 'nodesOf'> {
  return { nodesOf: (agentId) => link.call('store.nodesOf', agentId) };
}

function handOver(counters: MemoryUsageCounters, link: Link, scope: Scope): Usage {
  const usage = new UsageHandOver(counters, link, scope);
  return { counters, flush: () => usage.flush() };
}
