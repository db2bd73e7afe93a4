import { type TestContext, test } from 'node:test';
import type { RedisConfig } from '../../../src/config/config.ts';
import type { Log } from '../../../src/observability/log.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Scope } from '../../../src/runtime/scope.ts';
import { createRedisStore, type RedisStore } from '../../../src/store/redis/redis_store.ts';
import { type RecordedLine, recordingLog } from '../../support/recording_log.ts';
import { noRedis, type TestRedis } from '../../support/redis.ts';
import { eventually } from '../../support/wait.ts';

/** As in the configuration file when nothing is said. */
const DEFAULT_LIFETIME = { ttlMs: 300_000, refreshMs: 240_000, gcMs: 600_000 };

export interface Node {
  readonly store: RedisStore;
  readonly scope: Scope;
  readonly lines: readonly RecordedLine[];
  /** What the node was told of the store, in order. */
  readonly troubles: readonly (string | undefined)[];
  /** Everything that was said to it has reached Redis. */
  arrived(): Promise<void>;
}

export interface NodeOptions {
  readonly ownUrls?: readonly string[];
  readonly clock?: Clock;
  readonly lifetime?: Partial<typeof DEFAULT_LIFETIME>;
  readonly log?: Log;
  readonly env?: Readonly<Record<string, string>>;
}

/** The store's part of a node. It ends with the test. */
export function startNode(
  owner: Pick<TestContext, 'after'>,
  config: Partial<RedisConfig>,
  options: NodeOptions = {},
): Node {
  const scope = new Scope(options.clock ?? systemClock);
  const recorded = recordingLog();
  const troubles: (string | undefined)[] = [];
  const store = createRedisStore({
    config: redisConfig(config),
    lifetime: { ...DEFAULT_LIFETIME, ...options.lifetime },
    ownUrls: options.ownUrls ?? ['grpc://10.0.0.1:8155'],
    env: options.env ?? { SSL_CERT_FILE: '/dev/null', SSL_CERT_DIR: '/nonexistent' },
    scope,
    log: options.log ?? recorded.log,
    random: systemRandom,
    onTrouble: (trouble) => troubles.push(trouble),
  });
  owner.after(() => scope.close());
  return {
    store,
    scope,
    lines: recorded.lines,
    troubles,
    async arrived() {
      await store.tunnelDirectory.idle();
      await store.agentDirectory.idle();
    },
  };
}

/** A node that has found its Redis. */
export async function connectedNode(
  owner: Pick<TestContext, 'after'>,
  config: Partial<RedisConfig>,
  options: NodeOptions = {},
): Promise<Node> {
  const node = startNode(owner, config, options);
  await eventually('a connection', () => node.troubles.at(-1) === undefined && node.troubles.length > 0);
  await eventually('the subscription', () => node.store.eventBus.isFed);
  return node;
}

function redisConfig(more: Partial<RedisConfig>): RedisConfig {
  return {
    network: 'tcp',
    endpoint: { address: '127.0.0.1:1' },
    dialTimeoutMs: 5000,
    writeTimeoutMs: 3000,
    keyPrefix: 'gitlab-kas',
    username: '',
    password: undefined,
    tls: undefined,
    databaseIndex: 0,
    ...more,
  };
}

/** How to reach it over TCP. */
export function reach(redis: TestRedis): Partial<RedisConfig> {
  return { endpoint: { address: redis.address } };
}

/** A test that needs a redis-server, and is skipped aloud where there is none. */
export function redisTest(name: string, f: (t: TestContext) => Promise<void>): void {
  test(name, { skip: noRedis }, f);
}
