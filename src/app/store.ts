import process from 'node:process';
import type { Config } from '../config/config.ts';
import type { Log } from '../observability/log.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { createRedisStore } from '../store/redis/redis_store.ts';
import type { Store } from '../store/store.ts';
import type { Readiness } from './readiness.ts';

/** What nodes share: in Redis where the configuration has one, else in this process. Neither waits for anybody. */
export function openStore(options: {
  readonly config: Config;
  readonly readiness: Readiness;
  readonly scope: Scope;
  readonly log: Log;
  readonly random: Random;
}): Store {
  const { config, readiness, scope, random } = options;
  const ownUrls = config.privateApi?.ownUrls ?? [];
  if (config.redis === undefined) return createMemoryStore({ clock: scope.clock, ownUrls });
  const { redisConnInfoTtlMs: ttlMs, redisConnInfoRefreshMs: refreshMs, redisConnInfoGcMs: gcMs } = config.agent;
  return createRedisStore({
    config: config.redis,
    lifetime: { ttlMs, refreshMs, gcMs },
    ownUrls,
    env: process.env,
    scope,
    log: options.log.with({ mod_name: 'redis' }),
    random,
    // Not a reason to send traffic elsewhere: elsewhere it is missing, too.
    onTrouble: (trouble) => readiness.degrade('redis', trouble),
  });
}
