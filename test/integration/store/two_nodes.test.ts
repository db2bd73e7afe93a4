import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AgentMetaSchema } from '../../../src/gen/gitlab/agent/entity/entity_pb.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import type { ConnectedAgent } from '../../../src/store/agent_directory.ts';
import { Keys } from '../../../src/store/redis/keys.ts';
import { startRedis, type TestRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';
import { connectedNode, type Node, reach, redisTest } from './setup.ts';

// Two nodes and one Redis: what the one says the other knows, and time passes for both.

const keys = new Keys('gitlab-kas');

redisTest('what one node announces, counts, refuses and publishes the other knows', async (t) => {
  const { a, b } = await twoNodes(t);
  a.store.tunnelDirectory.announce(1n);
  b.store.tunnelDirectory.announce(1n);
  await Promise.all([a.arrived(), b.arrived()]);
  assert.deepEqual([...(await a.store.tunnelDirectory.nodesOf(1n))].sort(), ['grpc://a', 'grpc://b']);
  await a.store.tunnelDirectory.leave();
  assert.deepEqual(await b.store.tunnelDirectory.nodesOf(1n), ['grpc://b']);

  const hash = Buffer.alloc(32, 1);
  assert.equal(await a.store.tokenLimiter.tryTake(hash, 2), true);
  assert.equal(await b.store.tokenLimiter.tryTake(hash, 2), true);
  assert.equal(await a.store.tokenLimiter.tryTake(hash, 2), false);

  const refusal = { status: 404, path: '/x', reason: 'none' };
  await a.store.errorCache.set('project_info_errs', hash, refusal, 60_000);
  assert.deepEqual(await b.store.errorCache.get('project_info_errs', hash), refusal);

  await a.store.agentDirectory.register(pod(1n, 1n, 'p-1'), 600_000);
  assert.equal(await b.store.agentDirectory.count(), 1);
});

redisTest('answers that one node shares the other one finds, with the refusals, for five to ten minutes', async (t) => {
  const { a, b, redis, advance } = await twoNodes(t);
  const kinds = { errors: 'agent_info_errs', answers: 'agent_info' };
  const hashOf = (i: number) => createHash('sha256').update(String(i)).digest();
  const answers = Array.from({ length: 250 }, (_, i) => ({ hash: hashOf(i), answer: Buffer.of(i) }));
  await a.store.errorCache.share(kinds, answers);
  const found = (i: number) => b.store.errorCache.look(kinds, hashOf(i));
  assert.deepEqual(await found(249), { error: undefined, answer: Buffer.of(249) });
  assert.deepEqual(await found(250), { error: undefined, answer: undefined });
  const [name] = ((await redis.ask('KEYS', 'gitlab-kas:agent_info:*')) as Buffer[]).map(String);
  assert.match(String(name), /^gitlab-kas:agent_info:\d+$/);
  const ttl = Number(await redis.ask('PTTL', String(name)));
  assert.ok(ttl > 590_000 && ttl <= 600_000, `${ttl}`);
  const refusal = { status: 401, path: '/x', reason: '' };
  await a.store.errorCache.set('agent_info_errs', hashOf(0), refusal, 60_000);
  assert.deepEqual(await found(0), { error: refusal, answer: Buffer.of(0) });
  await advance(300_000);
  assert.deepEqual((await found(249)).answer, Buffer.of(249));
  await advance(300_000);
  assert.equal((await found(249)).answer, undefined);
});

redisTest('where answers should lie is something else: told of, and the refusal is found', async (t) => {
  const { a, b, redis } = await twoNodes(t);
  const kinds = { errors: 'agent_info_errs', answers: 'agent_info' };
  const hash = Buffer.alloc(32, 1);
  await a.store.errorCache.share(kinds, [{ hash, answer: Buffer.of(1) }]);
  const [name] = ((await redis.ask('KEYS', 'gitlab-kas:agent_info:*')) as Buffer[]).map(String);
  await redis.ask('SET', String(name), 'text');
  const refusal = { status: 401, path: '/x', reason: '' };
  await a.store.errorCache.set('agent_info_errs', hash, refusal, 60_000);
  assert.deepEqual(await b.store.errorCache.look(kinds, hash), { error: refusal, answer: undefined });
  await assert.rejects(a.store.errorCache.share(kinds, [{ hash, answer: Buffer.of(1) }]), /WRONGTYPE/);
  assert.ok(a.lines.some(({ message }) => message === 'Failed to share what GitLab said'));
});

redisTest('a pod that starts again on the other node takes its own place, and is not brought back', async (t) => {
  const { a, b, advance } = await twoNodes(t);
  await a.store.agentDirectory.register(pod(1n, 1n, 'p-1'), 600_000);
  await b.store.agentDirectory.register(pod(1n, 2n, 'p-1'), 600_000);
  assert.deepEqual(await connections(a, 1n), [2n]);
  await advance(250_000);
  assert.deepEqual(await connections(b, 1n), [2n]);
});

redisTest('a pod that moved and left through the other node is not brought back', async (t) => {
  const { a, b, advance } = await twoNodes(t);
  await a.store.agentDirectory.register(pod(1n, 1n, 'p-1'), 600_000);
  await b.store.agentDirectory.register(pod(1n, 1n, 'p-1'), 600_000);
  await b.store.agentDirectory.unregister(pod(1n, 1n, 'p-1'));
  assert.equal(await a.store.agentDirectory.count(), 0);
  await advance(250_000);
  assert.deepEqual(await connections(a, 1n), []);
  assert.equal(await a.store.agentDirectory.count(), 0);
});

redisTest('a pod that moved is not removed by the node that it has left', async (t) => {
  const { a, b, advance } = await twoNodes(t);
  await a.store.agentDirectory.register(pod(1n, 1n, 'p-1', a.scope.clock.wallMs()), 600_000);
  await advance(300_000);
  await b.store.agentDirectory.register(pod(1n, 1n, 'p-1', b.scope.clock.wallMs()), 600_000);
  await advance(310_000);
  assert.deepEqual(await connections(a, 1n), [1n]);
  await advance(300_000);
  assert.deepEqual(await connections(a, 1n), []);
});

redisTest('entries are renewed before they expire, for as long as somebody means them', async (t) => {
  const { redis, a, b, advance } = await twoNodes(t);
  a.store.tunnelDirectory.announce(1n);
  await a.arrived();
  for (let minutes = 0; minutes < 20; minutes += 5) {
    await a.store.agentDirectory.register(pod(1n, 1n, 'p-1', a.scope.clock.wallMs()), 600_000);
    await advance(300_000);
    assert.deepEqual(await b.store.tunnelDirectory.nodesOf(1n), ['grpc://a']);
    assert.deepEqual(await connections(b, 1n), [1n]);
    assert.equal(await b.store.agentDirectory.count(), 1);
  }
  // The clock of the test has run ahead of Redis': it is the values that say when they expire.
  const ttlMs = Number(await redis.ask('PTTL', keys.tunnelNodes(1n)));
  assert.ok(ttlMs > 0 && ttlMs <= 300_000, `${ttlMs}`);
  await advance(300_000);
  assert.deepEqual(await connections(b, 1n), [], 'it said nothing for 10 minutes');
  assert.equal(await b.store.agentDirectory.count(), 0);
  assert.deepEqual(await b.store.tunnelDirectory.nodesOf(1n), ['grpc://a'], 'the tunnels are another matter');
});

redisTest('what a killed node has left behind expires', async (t) => {
  const { a, b, advance } = await twoNodes(t);
  a.store.tunnelDirectory.announce(1n);
  await a.store.agentDirectory.register(pod(1n, 1n, 'p-1', a.scope.clock.wallMs()), 600_000);
  await a.arrived();
  a.scope.close();
  await advance(302_000, b);
  assert.deepEqual(await b.store.tunnelDirectory.nodesOf(1n), []);
  assert.deepEqual(await connections(b, 1n), []);
  assert.equal(await b.store.agentDirectory.count(), 0);
  assert.ok(Number(await b.store.agentDirectory.lastSeenMs(1n)) <= b.scope.clock.wallMs() - 300_000);
});

redisTest('garbage of others is collected from the hashes that a node keeps alive', async (t) => {
  const { redis, a, b, advance } = await twoNodes(t, { gcMs: 400_000 });
  await a.store.agentDirectory.register(pod(1n, 1n, 'p-1'), 600_000);
  await b.store.agentDirectory.register(pod(1n, 2n, 'p-2'), 900_000);
  a.scope.close();
  await advance(410_000, b);
  const fields = async () => Number(await redis.ask('HLEN', keys.podsOfAgent(1n)));
  await eventually('the collection', async () => {
    await advance(1000, b);
    return (await fields()) === 1;
  });
  const line = await eventually('a line of it', async () => {
    await advance(1000, b);
    return b.lines.find(({ message }) => message === 'Deleted expired agent connections records');
  });
  assert.deepEqual(line.fields, { removed_hash_keys: 2 });
});

/** Both live by one clock. */
async function twoNodes(t: TestContext, lifetime: { gcMs?: number } = {}) {
  const redis: TestRedis = await startRedis(t);
  const clock = new FakeClock(Date.now());
  // The clock runs ahead of Redis: no answer is late.
  const config = { ...reach(redis), writeTimeoutMs: 24 * 3_600_000 };
  const node = (name: string) => connectedNode(t, config, { clock, ownUrls: [`grpc://${name}`], lifetime });
  const [a, b] = [await node('a'), await node('b')];
  const advance = async (ms: number, ...nodes: Node[]) => {
    for (let left = ms; left > 0; left -= 1000) {
      clock.advance(Math.min(left, 1000));
      await Promise.all((nodes.length === 0 ? [a, b] : nodes).map((one) => one.arrived()));
      await delay(1);
    }
    await delay(20);
  };
  return { redis, a, b, advance };
}

async function connections({ store }: Node, agentId: bigint): Promise<bigint[]> {
  return (await store.agentDirectory.byAgentIds([agentId])).map(({ connectionId }) => connectionId);
}

function pod(agentId: bigint, connectionId: bigint, podName: string, connectedAtMs = 1000): ConnectedAgent {
  const agentMeta = create(AgentMetaSchema, { version: 'v19.3.0', podName, podNamespace: 'agents' });
  return { agentId, projectId: 7n, connectionId, agentMeta, connectedAtMs };
}
