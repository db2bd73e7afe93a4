import type { RedisConfig } from '../../config/config.ts';
import type { Environment } from '../../net/trusted_roots.ts';
import type { Log } from '../../observability/log.ts';
import type { StoreHealth } from '../../observability/store_metrics.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Random } from '../../runtime/random.ts';
import type { Scope } from '../../runtime/scope.ts';
import { MemoryUsageCounters } from '../memory/usage_counters.ts';
import type { Store } from '../store.ts';
import { RedisAgentDirectory } from './agent_directory.ts';
import { RedisConnection } from './connection.ts';
import { RedisDialer } from './dialer.ts';
import { RedisErrorCache } from './error_cache.ts';
import { RedisEventBus } from './event_bus.ts';
import { Keys } from './keys.ts';
import { Lifetime, type LifetimeConfig } from './lifetime.ts';
import { Patience } from './patience.ts';
import { RedisTokenLimiter } from './token_limiter.ts';
import { Trouble } from './trouble.ts';
import { RedisTunnelDirectory } from './tunnel_directory.ts';

/** How long an agent or user is kept waiting by a Redis that does not answer, before this node goes on alone. */
const PATIENCE_MS = 1000;
/** Keys that a collection of garbage may look at in a second: it is not urgent. */
const COLLECTED_PER_SECOND = 1;

export interface RedisStore extends Store {
  readonly tunnelDirectory: RedisTunnelDirectory;
  readonly agentDirectory: RedisAgentDirectory;
  readonly eventBus: RedisEventBus;
  readonly health: StoreHealth;
}

/**
 * What nodes share, in Redis. Returns at once, whether Redis is there or not; connects for as long as the scope is open, and
 * tells Redis all that this node knows whenever it has a new connection.
 */
export function createRedisStore(deps: {
  readonly config: RedisConfig;
  readonly lifetime: LifetimeConfig & { readonly gcMs: number };
  readonly ownUrls: readonly string[];
  readonly env: Environment;
  readonly scope: Scope;
  readonly log: Log;
  readonly random: Random;
  /** Called with the reason when Redis is lost, and with undefined when it is back. */
  readonly onTrouble: (trouble: string | undefined) => void;
}): RedisStore {
  const { config, scope, log, random } = deps;
  const health = { trouble: undefined as string | undefined, errors: 0 };
  const onError = () => {
    health.errors++;
  };
  const setTrouble = (trouble: string | undefined) => {
    health.trouble = trouble;
    deps.onTrouble(trouble);
  };
  const dialer = new RedisDialer(config, deps.env);
  const dial = (linkScope: Scope) => dialer.dial(linkScope);
  const trouble = new Trouble(log, scope.clock);
  const patience = new Patience(scope, PATIENCE_MS, () => redis.silentMs);
  const redis = new RedisConnection({
    ...{ dial, scope, log, random, onError },
    lostMessage: 'Redis is not there, going on without it',
    onUp() {
      tunnelDirectory.retell();
      agentDirectory.retell();
    },
    onTrouble: (error) => setTrouble(error && errorText(error)),
  });
  const shared = { redis, keys: new Keys(config.keyPrefix), scope, clock: scope.clock, trouble, patience };
  const lifetime = new Lifetime(deps.lifetime);
  const tunnelDirectory = new RedisTunnelDirectory({ ...shared, lifetime, ownUrls: deps.ownUrls });
  const agentDirectory = new RedisAgentDirectory({ ...shared, lifetime });
  const eventBus = new RedisEventBus({ redis, log, trouble });
  // Subscribers get a connection of their own: messages must not wait behind answers, nor the other way round.
  new RedisConnection({
    ...{ dial, scope, log, random, onError },
    lostMessage: 'Error handling Redis SUBSCRIBE',
    prepare: (link) => eventBus.listen(link),
  });
  void collectGarbage(agentDirectory, { ...shared, log, gcMs: deps.lifetime.gcMs });
  return {
    tunnelDirectory,
    agentDirectory,
    eventBus,
    health,
    tokenLimiter: new RedisTokenLimiter(shared),
    errorCache: new RedisErrorCache(shared),
    // Each node reports what it counted itself: GitLab adds the reports up, so nodes need not.
    usageCounters: new MemoryUsageCounters(),
  };
}

async function collectGarbage(
  directory: RedisAgentDirectory,
  deps: {
    readonly scope: Scope;
    readonly redis: RedisConnection;
    readonly log: Log;
    readonly trouble: Trouble;
    readonly gcMs: number;
  },
): Promise<void> {
  const { scope, redis, log, trouble, gcMs } = deps;
  while (await scope.sleep(gcMs)) {
    if (!redis.isUp) continue;
    try {
      const removed = await directory.collectGarbage(() => scope.sleep(1000 / COLLECTED_PER_SECOND));
      if (removed > 0) log.info('Deleted expired agent connections records', { removed_hash_keys: removed });
    } catch (error) {
      trouble.failed('Failed to GC data in Redis', error);
    }
  }
}
