import type { AgentDirectory } from './agent_directory.ts';
import type { ErrorCache } from './error_cache.ts';
import type { EventBus } from './event_bus.ts';
import type { TokenLimiter } from './token_limiter.ts';
import type { TunnelDirectory } from './tunnel_directory.ts';
import type { UsageCounters, UsageReports } from './usage_counters.ts';

/** What nodes share. Each user takes the one interface that it needs. */
export interface Store {
  readonly tunnelDirectory: TunnelDirectory;
  readonly tokenLimiter: TokenLimiter;
  readonly errorCache: ErrorCache;
  readonly agentDirectory: AgentDirectory;
  readonly eventBus: EventBus;
  readonly usageCounters: UsageCounters & UsageReports;
}
