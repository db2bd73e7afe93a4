import assert from 'node:assert/strict';
import { create } from '@bufbuild/protobuf';
import { GitPushEventSchema } from '../../../src/gen/gitlab/agent/event/event_pb.ts';
import type { ConnectedAgent } from '../../../src/store/agent_directory.ts';
import { freePort } from '../../support/endpoint.ts';
import { startRedis } from '../../support/redis.ts';
import { delay, eventually, within } from '../../support/wait.ts';
import { connectedNode, type Node, reach, redisTest, startNode } from './setup.ts';

// A Redis that is not there, goes away, falls silent or comes back empty: nobody waits for it, and nothing is forgotten here.

const HASH = Buffer.alloc(32, 7);
const REFUSAL = { status: 403, path: '/x', reason: 'no' };
const push = create(GitPushEventSchema, { project: { id: 5n, fullPath: 'a/b' } });

redisTest('absent at the start: what was said meanwhile is in Redis when it comes', async (t) => {
  const redis = await startRedis(t);
  await redis.stop();
  const node = startNode(t, reach(redis));
  await eventually('trouble', () => node.troubles.at(-1));
  await assertGoesOnAlone(node);
  assert.match(String(node.troubles.at(-1)), /ECONNREFUSED/);
  const [line] = node.lines.filter(({ message }) => message === 'Redis is not there, going on without it');
  assert.match(String(line?.fields.error), /connect ECONNREFUSED 127\.0\.0\.1/);
  assert.match(String(line?.fields.hint), /section redis/);
  await redis.start();
  await assertIsBack(node);
});

redisTest('gone and back, empty: everything is written again within seconds', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, reach(redis));
  node.store.tunnelDirectory.announce(1n);
  await node.store.agentDirectory.register(pod(1n, 1n), 600_000);
  await node.arrived();
  await redis.stop();
  await eventually('trouble', () => node.troubles.at(-1));
  await assertGoesOnAlone(node);
  await redis.start();
  await assertIsBack(node);
  assert.deepEqual(await node.store.tunnelDirectory.nodesOf(1n), ['grpc://10.0.0.1:8155']);
  assert.deepEqual(
    (await node.store.agentDirectory.byAgentIds([1n])).map(({ connectionId }) => connectionId),
    [1n],
  );
});

redisTest('gone and back with all it had: what was withdrawn meanwhile is gone from it', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, { ...reach(redis), writeTimeoutMs: 400 });
  for (const id of [1n, 2n]) {
    node.store.tunnelDirectory.announce(id);
    await node.store.agentDirectory.register(pod(id, id), 600_000);
  }
  await node.arrived();
  // It falls silent and keeps its data.
  redis.freeze();
  t.after(() => redis.thaw());
  await eventually('trouble', () => node.troubles.at(-1));
  node.store.tunnelDirectory.withdraw(1n);
  await within('unregister', 2000, node.store.agentDirectory.unregister(pod(1n, 1n)));
  redis.thaw();
  await eventually('its return', () => node.troubles.at(-1) === undefined);
  await node.arrived();
  const { tunnelDirectory, agentDirectory } = node.store;
  await eventually('the removal', async () => (await tunnelDirectory.nodesOf(1n).catch(() => [''])).length === 0);
  assert.deepEqual(await tunnelDirectory.nodesOf(2n), ['grpc://10.0.0.1:8155']);
  assert.deepEqual(await agentDirectory.byAgentIds([1n]), []);
  assert.equal((await agentDirectory.byAgentIds([2n])).length, 1);
  assert.equal(await agentDirectory.count(), 1);
});

redisTest('a Redis that falls silent costs a second at the most, then nothing', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, { ...reach(redis), writeTimeoutMs: 1500 });
  redis.freeze();
  t.after(() => redis.thaw());
  const { tokenLimiter, errorCache, agentDirectory } = node.store;
  assert.equal(await within('the limiter', 1300, tokenLimiter.tryTake(HASH, 1)), true);
  assert.equal(await within('the error cache', 1300, errorCache.get('agent_info_errs', HASH)), undefined);
  await within('a registration', 1300, agentDirectory.register(pod(1n, 1n), 600_000));
  await eventually('trouble', () => node.troubles.at(-1));
  assert.equal(node.troubles.at(-1), 'no answer within 1500 ms');
  await assertGoesOnAlone(node);
  redis.thaw();
  await assertIsBack(node);
});

redisTest('the log does not fill while Redis is away, and says when it is back', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, reach(redis));
  await redis.stop();
  await eventually('trouble', () => node.troubles.at(-1));
  const { tokenLimiter, errorCache, agentDirectory, tunnelDirectory } = node.store;
  for (let i = 0; i < 200; i++) {
    await Promise.all([
      tokenLimiter.tryTake(HASH, 1000),
      errorCache.get('x', HASH),
      errorCache.set('x', HASH, REFUSAL, 50),
    ]);
    await agentDirectory.count().catch(() => {});
    tunnelDirectory.announce(BigInt(i));
  }
  await delay(1500);
  // Each of the two connections tells that it has ended, and that there is no other.
  assert.ok(node.lines.length <= 4, JSON.stringify(node.lines, undefined, 1));
  const { errors } = node.store.health;
  assert.ok(errors > 4);
  await redis.start();
  await eventually(
    'both to be back',
    () => node.lines.filter(({ message }) => message === 'Redis is back').length === 2,
  );
});

redisTest('a node that leaves while Redis is away does not wait for it', async (t) => {
  const node = startNode(t, { endpoint: { address: `127.0.0.1:${await freePort()}` } });
  node.store.tunnelDirectory.announce(1n);
  await within('leaving', 1000, node.store.tunnelDirectory.leave());
});

/** Everything that this node can do without Redis it does at once. */
async function assertGoesOnAlone({ store }: Node): Promise<void> {
  const { tunnelDirectory, agentDirectory, tokenLimiter, errorCache, eventBus } = store;
  const heard: bigint[] = [];
  const leave = eventBus.subscribe((event) => heard.push(event.project?.id ?? 0n));
  const begun = performance.now();
  const other = Buffer.alloc(32, 9);
  assert.equal(await tokenLimiter.tryTake(other, 2), true);
  assert.equal(await tokenLimiter.tryTake(other, 2), true);
  assert.equal(await tokenLimiter.tryTake(other, 2), false, 'counted here');
  await errorCache.set('agent_info_errs', HASH, REFUSAL, 60_000);
  assert.deepEqual(await errorCache.get('agent_info_errs', HASH), REFUSAL);
  tunnelDirectory.announce(2n);
  await agentDirectory.register(pod(2n, 2n), 600_000);
  await assert.rejects(tunnelDirectory.nodesOf(2n), { name: 'RedisError' });
  await assert.rejects(agentDirectory.byAgentIds([2n]), { name: 'RedisError' });
  await assert.rejects(agentDirectory.count(), { name: 'RedisError' });
  await assert.rejects(agentDirectory.lastSeenMs(2n), { name: 'RedisError' });
  await assert.rejects(eventBus.publish(push), { name: 'RedisError' });
  assert.deepEqual(heard, [5n], 'subscribers of this node');
  const tookMs = performance.now() - begun;
  assert.ok(tookMs < 2000, `${tookMs} ms`);
  leave();
}

/** What was said while it was away is there within seconds, and events come through Redis again. */
async function assertIsBack({ store, troubles }: Node): Promise<void> {
  const { tunnelDirectory, agentDirectory, eventBus } = store;
  await eventually('its return', () => troubles.at(-1) === undefined, 5000);
  const found = () => tunnelDirectory.nodesOf(2n).catch(() => []);
  await eventually('the announcement', async () => (await found()).length === 1, 3000);
  await eventually('the registration', async () => (await agentDirectory.byAgentIds([2n])).length === 1, 3000);
  await eventually('the subscription', () => eventBus.isFed, 5000);
  const heard: bigint[] = [];
  eventBus.subscribe((event) => heard.push(event.project?.id ?? 0n));
  await eventBus.publish(push);
  await eventually('the event', () => heard.length > 0);
  await delay(50);
  assert.deepEqual(heard, [5n], 'once');
}

function pod(agentId: bigint, connectionId: bigint): ConnectedAgent {
  return { agentId, projectId: 7n, connectionId, agentMeta: undefined, connectedAtMs: Date.now() };
}
