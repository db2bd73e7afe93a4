import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { startRedis, type TestRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';
import { connectedNode, reach, redisTest } from './setup.ts';

// A Redis that answers and stores nothing: that is named, with what to do, for as long as it lasts; and told it all again when it stores.

const HASH = Buffer.alloc(32, 7);

interface Case {
  readonly error: RegExp;
  readonly hint: RegExp;
  refuse(redis: TestRedis): Promise<unknown>;
  relent(redis: TestRedis): Promise<unknown>;
}

const cases: Readonly<Record<string, Case>> = {
  'that is full': {
    error: /^OOM /,
    hint: /maxmemory/,
    refuse: (redis) => redis.ask('CONFIG', 'SET', 'maxmemory', '1'),
    relent: (redis) => redis.ask('CONFIG', 'SET', 'maxmemory', '0'),
  },
  'that is a replica': {
    error: /^READONLY /,
    hint: /name its master/,
    refuse: (redis) => redis.ask('REPLICAOF', '127.0.0.1', '1'),
    relent: (redis) => redis.ask('REPLICAOF', 'NO', 'ONE'),
  },
  'whose disk is': {
    error: /^MISCONF /,
    hint: /its own log/,
    async refuse(redis) {
      mkdirSync(join(redis.folder, 'dump.rdb')); // in place of the file
      await redis.ask('CONFIG', 'SET', 'save', '3600 1');
      await redis.ask('BGSAVE');
      const persistence = async () => String(await redis.ask('INFO', 'persistence'));
      await eventually('a save that fails', async () => /rdb_last_bgsave_status:err/.test(await persistence()));
    },
    relent: (redis) => redis.ask('CONFIG', 'SET', 'save', ''),
  },
  'that may not be written': {
    error: /^NOPERM /,
    hint: /ACL SETUSER/,
    refuse: (redis) => redis.ask('ACL', 'SETUSER', 'default', '-hset', '-set', '-incr'),
    relent: (redis) => redis.ask('ACL', 'SETUSER', 'default', '+hset', '+set', '+incr'),
  },
  'with too few replicas': {
    error: /^NOREPLICAS /,
    hint: /min-replicas-to-write/,
    refuse: (redis) => redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '1'),
    relent: (redis) => redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '0'),
  },
};

for (const [what, { error, hint, refuse, relent }] of Object.entries(cases)) {
  redisTest(`a Redis ${what} stores nothing: it is named, and told again`, async (t) => {
    const redis = await startRedis(t);
    const node = await connectedNode(t, reach(redis));
    const { tunnelDirectory, tokenLimiter, health } = node.store;
    await refuse(redis);
    tunnelDirectory.announce(1n);
    await eventually('trouble', () => node.troubles.at(-1));
    assert.match(String(node.troubles.at(-1)), error);
    assert.match(String(health.trouble), error);
    // Long enough for new connections and pings, which change nothing.
    for (let i = 0; i < 25; i++) {
      assert.equal(await tokenLimiter.tryTake(HASH, 100), true, 'counted here');
      await delay(100);
    }
    assert.match(String(health.trouble), error);
    const told = node.lines.filter(({ message }) => message === 'Redis stores nothing, going on without it');
    assert.equal(told.length, 1);
    assert.match(String(told[0]?.fields.error), error);
    assert.match(String(told[0]?.fields.hint), hint);
    assert.ok(!node.lines.some(({ message }) => message === 'Redis is back'));
    await relent(redis);
    await eventually('all to be well', () => node.troubles.at(-1) === undefined, 20_000);
    await eventually('the agent in Redis', async () => (await tunnelDirectory.nodesOf(1n)).length === 1, 20_000);
    assert.equal(node.lines.filter(({ message }) => message === 'Redis is back').length, 1);
  });
}
