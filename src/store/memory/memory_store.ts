import type { Clock } from '../../runtime/clock.ts';
import type { Store } from '../store.ts';
import { MemoryAgentDirectory } from './agent_directory.ts';
import { MemoryErrorCache } from './error_cache.ts';
import { MemoryEventBus } from './event_bus.ts';
import { MemoryTokenLimiter } from './token_limiter.ts';
import { MemoryTunnelDirectory } from './tunnel_directory.ts';
import { MemoryUsageCounters } from './usage_counters.ts';

/** The store of a node that has nobody to share with. */
export function createMemoryStore(deps: { readonly clock: Clock; readonly ownUrls?: readonly string[] }): Store {
  return {
    tokenLimiter: new MemoryTokenLimiter(deps.clock),
    errorCache: new MemoryErrorCache(deps.clock),
    tunnelDirectory: new MemoryTunnelDirectory(deps.ownUrls ?? []),
    agentDirectory: new MemoryAgentDirectory(deps.clock),
    eventBus: new MemoryEventBus(),
    usageCounters: new MemoryUsageCounters(),
  };
}
