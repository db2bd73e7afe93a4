import type { StoreHealth } from '../observability/store_metrics.ts';
import type { AgentDirectory } from './agent_directory.ts';
import type { ErrorCache } from './error_cache.ts';
import type { EventBus } from './event_bus.ts';
import type { TokenLimiter } from './token_limiter.ts';
import type { TunnelDirectory } from './tunnel_directory.ts';
import type { UsageCounters, UsageReports } from './usage_counters.ts';

/** What nodes share. Each user takes the one interface that it needs. */
export interface Store {
  /** Absent: it is always there. */
  readonly health?: StoreHealth;
  readonly tunnelDirectory: TunnelDirectory;
  readonly tokenLimiter: TokenLimiter;
  readonly errorCache: ErrorCache;
  readonly agentDirectory: AgentDirectory;
  readonly eventBus: EventBus;
  /** Each node has its own, and reports what it counted itself: GitLab adds the reports up. */
  readonly usageCounters: UsageCounters & UsageReports;
}
