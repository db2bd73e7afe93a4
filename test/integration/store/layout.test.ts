import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyUnpack, timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { ConnectedAgentInfoSchema } from '../../../src/gen/gitlab/agent/agent_tracker/agent_tracker_pb.ts';
import { GitPushEventSchema } from '../../../src/gen/gitlab/agent/event/event_pb.ts';
import { ClientErrorSchema } from '../../../src/gen/gitlab/agent/gitlab/gitlab_pb.ts';
import { ExpiringValueSchema } from '../../../src/gen/gitlab/agent/redistool/redistool_pb.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import type { ConnectedAgent } from '../../../src/store/agent_directory.ts';
import { startRedis, type TestRedis } from '../../support/redis.ts';
import { eventually } from '../../support/wait.ts';
import { connectedNode, reach, redisTest } from './setup.ts';

// Keys, types, values and times to live are those of GitLab's server of 2023 (test/vectors/redis).

interface RecordedKey {
  readonly key: { readonly hex: string };
  readonly type: string;
  readonly pttl_ms: number;
  readonly fields: readonly { readonly field: string; readonly value_hex: string }[];
}

const { snapshots, pubsub } = read('snapshots.json') as {
  snapshots: { when: string; keys: RecordedKey[] }[];
  pubsub: { channel: string; payload_hex: string };
};
const { error_cache: refusals } = read('error-cache-and-limits.json') as {
  error_cache: { key: { hex: string; parts: [string, ...unknown[]] }; type: string; value_hex: string }[];
};

/** Node B comes three seconds after node A, as recorded. */
const [AGENT, PROJECT] = [4n, 1004n];

redisTest('agents and tunnels of one node and of two stand in Redis as recorded', async (t) => {
  const redis = await startRedis(t);
  const [one, two] = [expected(0), expected(1)];
  const clockA = new FakeClock(one.writtenAtMs);
  const a = await connectedNode(t, reach(redis), { clock: clockA, ownUrls: ['grpc://<KAS_A_PRIVATE>'] });
  a.store.tunnelDirectory.announce(AGENT);
  await a.store.agentDirectory.register(one.pods[0] as ConnectedAgent, 600_000);
  await a.arrived();
  await compare(redis, 0);

  const b = await connectedNode(t, reach(redis), {
    clock: new FakeClock(two.writtenAtMs),
    ownUrls: ['grpc://<KAS_B_PRIVATE>'],
  });
  b.store.tunnelDirectory.announce(AGENT);
  const second = two.pods.find(({ connectionId }) => connectionId !== one.pods[0]?.connectionId);
  await b.store.agentDirectory.register(second as ConnectedAgent, 600_000);
  await b.arrived();
  await compare(redis, 1);

  a.store.tunnelDirectory.withdraw(AGENT);
  await a.arrived();
  await compare(redis, 3);

  b.store.tunnelDirectory.withdraw(AGENT);
  await b.arrived();
  await compare(redis, 4);
});

redisTest('what a node of 2023 has written is found', async (t) => {
  const redis = await startRedis(t);
  for (const { key, fields } of snapshots[1]?.keys ?? []) {
    const pairs = fields.flatMap(({ field, value_hex: hex }) => [field, Buffer.from(hex, 'hex')]);
    await redis.ask('HSET', Buffer.from(key.hex, 'hex'), ...pairs);
  }
  const { pods, writtenAtMs } = expected(1);
  const { store } = await connectedNode(t, reach(redis), { clock: new FakeClock(writtenAtMs) });
  assert.deepEqual([...(await store.tunnelDirectory.nodesOf(AGENT))].sort(), [
    'grpc://<KAS_A_PRIVATE>',
    'grpc://<KAS_B_PRIVATE>',
  ]);
  for (const found of [
    await store.agentDirectory.byAgentIds([AGENT]),
    await store.agentDirectory.byProjectIds([PROJECT]),
  ]) {
    assert.deepEqual(found.sort(byConnection), pods);
  }
  assert.equal(await store.agentDirectory.count(), 5);
});

redisTest('refusals are kept as recorded, for the time that was asked for', async (t) => {
  const redis = await startRedis(t);
  const { store } = await connectedNode(t, reach(redis));
  for (const { key, value_hex: hex, type } of refusals) {
    const bytes = Buffer.from(key.hex, 'hex');
    const [, kind = ''] = /^gitlab-kas:(.*):$/.exec(key.parts[0]) ?? [];
    const error = anyUnpack(fromBinary(AnySchema, Buffer.from(hex, 'hex')), ClientErrorSchema);
    assert.ok(error);
    const { statusCode: status, path, reason } = error;
    await store.errorCache.set(kind, bytes.subarray(-32), { status, path, reason }, 60_000);
    assert.equal(String(await redis.ask('TYPE', bytes)), type);
    assert.equal(((await redis.ask('GET', bytes)) as Buffer).toString('hex'), hex);
    const ttlMs = Number(await redis.ask('PTTL', bytes));
    assert.ok(ttlMs > 50_000 && ttlMs <= 60_000, `${ttlMs}`);
    await redis.ask('SET', bytes, Buffer.from(hex, 'hex'));
    assert.deepEqual(await store.errorCache.get(kind, bytes.subarray(-32)), { status, path, reason });
  }
});

redisTest('tokens are counted under their hash and the minute of the hour', async (t) => {
  const redis = await startRedis(t);
  const { store } = await connectedNode(t, reach(redis), { clock: new FakeClock(Date.UTC(2026, 0, 1, 13, 42, 17)) });
  const hash = Buffer.alloc(32, 0xa5);
  for (let i = 0; i < 3; i++) assert.equal(await store.tokenLimiter.tryTake(hash, 3), true);
  assert.equal(await store.tokenLimiter.tryTake(hash, 3), false);
  const key = Buffer.concat([Buffer.from('gitlab-kas:agent_limit:'), hash, Buffer.from(':'), Buffer.of(42)]);
  assert.equal(String(await redis.ask('GET', key)), '3');
  const ttl = Number(await redis.ask('TTL', key));
  assert.ok(ttl > 55 && ttl <= 59, `${ttl}`);
  assert.equal(Number(await redis.ask('DBSIZE')), 1);
});

redisTest('events are published and understood as recorded', async (t) => {
  const redis = await startRedis(t);
  const { store } = await connectedNode(t, reach(redis));
  const payload = Buffer.from(pubsub.payload_hex, 'hex');
  const recorded = anyUnpack(fromBinary(AnySchema, payload), GitPushEventSchema);
  assert.ok(recorded);
  const heard: unknown[] = [];
  store.eventBus.subscribe((event) => heard.push(event));
  await redis.ask('PUBLISH', pubsub.channel, payload);
  await eventually('the event', () => heard.length === 1);
  await store.eventBus.publish(recorded);
  await eventually('its own', () => heard.length === 2);
  assert.deepEqual(heard, [recorded, recorded]);
});

/** The keys in Redis are those of the snapshot, apart from what depends on when it was taken. */
async function compare(redis: TestRedis, index: number): Promise<void> {
  const { keys, when } = snapshots[index] ?? { keys: [], when: '' };
  const names = ((await redis.ask('KEYS', '*')) as Buffer[]).map((key) => key.toString('hex'));
  assert.deepEqual(names.sort(), keys.map(({ key }) => key.hex).sort(), when);
  for (const { key, type, fields } of keys) {
    const name = Buffer.from(key.hex, 'hex');
    const what = `${when}: ${name.toString('latin1')}`;
    assert.equal(String(await redis.ask('TYPE', name)), type, what);
    const ttlMs = Number(await redis.ask('PTTL', name));
    assert.ok(ttlMs > 280_000 && ttlMs <= 300_000, `${what}: ${ttlMs}`);
    const words = (await redis.ask('HGETALL', name)) as Buffer[];
    const found = new Map<string, string>();
    for (let i = 0; i < words.length; i += 2) found.set(String(words[i]), (words[i + 1] as Buffer).toString('hex'));
    const isShared = name.toString().endsWith('connected_agents');
    const recorded = fields.filter(({ field }) => !isShared || field === String(AGENT));
    assert.deepEqual(
      [...found].sort(),
      recorded.map(({ field, value_hex: hex }) => [field, withoutNanos(hex)]).sort(),
      what,
    );
  }
}

/** Who was connected in a snapshot, and when the last entry was written. */
function expected(index: number): { pods: ConnectedAgent[]; writtenAtMs: number } {
  const keys = snapshots[index]?.keys ?? [];
  const isOfAgent = ({ key }: RecordedKey) => Buffer.from(key.hex, 'hex').includes('conn_by_agent_id');
  const values = (keys.find(isOfAgent)?.fields ?? []).map(({ value_hex: hex }) =>
    fromBinary(ExpiringValueSchema, Buffer.from(hex, 'hex')),
  );
  const pods = values.map(({ value }): ConnectedAgent => {
    const { agentMeta, connectedAt, connectionId, agentId, projectId } = fromBinary(ConnectedAgentInfoSchema, value);
    assert.ok(connectedAt);
    return { agentId, projectId, connectionId, agentMeta, connectedAtMs: timestampMs(connectedAt) };
  });
  const last = Math.max(...values.map(({ expiresAt }) => Number(expiresAt)));
  return { pods: pods.sort(byConnection), writtenAtMs: (last - 300) * 1000 };
}

/** The value as a clock that counts milliseconds has it. */
function withoutNanos(hex: string): string {
  const entry = fromBinary(ExpiringValueSchema, Buffer.from(hex, 'hex'));
  if (entry.value.length === 0) return hex;
  const info = fromBinary(ConnectedAgentInfoSchema, entry.value);
  if (info.connectedAt !== undefined) info.connectedAt = timestampFromMs(timestampMs(info.connectedAt));
  entry.value = toBinary(ConnectedAgentInfoSchema, info);
  return Buffer.from(toBinary(ExpiringValueSchema, entry)).toString('hex');
}

function byConnection(a: ConnectedAgent, b: ConnectedAgent): number {
  return a.connectionId < b.connectionId ? -1 : 1;
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../vectors/redis/${name}`, import.meta.url), 'utf8'));
}
