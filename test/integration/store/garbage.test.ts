import assert from 'node:assert/strict';
import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack } from '@bufbuild/protobuf/wkt';
import { GitPushEventSchema } from '../../../src/gen/gitlab/agent/event/event_pb.ts';
import { ClientErrorSchema } from '../../../src/gen/gitlab/agent/gitlab/gitlab_pb.ts';
import { encodeExpiring } from '../../../src/store/redis/expiring_value.ts';
import { Keys } from '../../../src/store/redis/keys.ts';
import { startRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';
import { connectedNode, reach, redisTest } from './setup.ts';

// Whatever stands in our keys: it is skipped, told of once, and costs nobody else anything.

const keys = new Keys('gitlab-kas');
const HASH = Buffer.alloc(32, 7);
const GARBAGE = Buffer.from([0xff, 0xff, 0xff, 0x07, 0x08]);
const soon = Math.floor(Date.now() / 1000) + 300;
const live = (value?: Uint8Array) => encodeExpiring(soon, value);
const pod = { projectId: 7n, connectionId: 1n, agentMeta: undefined, connectedAtMs: 5000 };

redisTest('entries that are none are skipped, expired ones removed, the rest found', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, reach(redis));
  const { tunnelDirectory, agentDirectory } = node.store;
  const expired = encodeExpiring(1_700_000_000);
  const tunnels = keys.tunnelNodes(1n);
  await redis.ask('HSET', tunnels, 'grpc://a', live(), 'grpc://b', GARBAGE, 'grpc://c', expired, 'grpc://d', '');
  // An empty value is an ExpiringValue that expired in 1970.
  assert.deepEqual(await tunnelDirectory.nodesOf(1n), ['grpc://a']);
  await eventually('removal', async () => Number(await redis.ask('HLEN', tunnels)) === 2);

  await agentDirectory.register({ ...pod, agentId: 1n }, 600_000);
  await redis.ask('HSET', keys.podsOfAgent(1n), 'x', live(GARBAGE), '2', live(), '3', GARBAGE, '4', expired);
  assert.deepEqual(
    (await agentDirectory.byAgentIds([1n])).map(({ connectionId }) => connectionId),
    [1n],
  );
  await eventually('removal', async () => Number(await redis.ask('HLEN', keys.podsOfAgent(1n))) === 4);
  await redis.ask('HSET', keys.connectedAgents, 'x', live(), '99', GARBAGE, '98', expired);
  assert.deepEqual(await agentDirectory.countByVersion(), new Map([['', 1]]));
  assert.equal(await agentDirectory.lastSeenMs(99n), undefined);
  assert.equal(await agentDirectory.lastSeenMs(98n), 1_700_000_000_000 - 300_000);

  for (let i = 0; i < 20; i++) await tunnelDirectory.nodesOf(1n);
  const told = node.lines.filter(({ level, message }) => level === 'error' && message === 'Redis hash scan');
  assert.equal(told.length, 1);
  assert.equal(told[0]?.fields.redis_key, tunnels.toString('base64'));
});

redisTest('keys of another type: read as failed, written around, and the others are written', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, reach(redis));
  const { tunnelDirectory, agentDirectory, tokenLimiter, errorCache } = node.store;
  const minute = new Date().getUTCMinutes();
  for (const at of [minute, (minute + 1) % 60]) await redis.ask('HSET', keys.tokenCount(HASH, at), 'a', 'b');
  await redis.ask('SET', keys.tunnelNodes(1n), 'text');
  await redis.ask('SET', keys.podsOfAgent(1n), 'text');
  await redis.ask('HSET', keys.refusal('agent_info_errs', HASH), 'a', 'b');
  for (const id of [1n, 2n, 3n]) tunnelDirectory.announce(id);
  await agentDirectory.register({ ...pod, agentId: 1n }, 600_000);
  await agentDirectory.register({ ...pod, agentId: 2n }, 600_000);
  await node.arrived();
  await assert.rejects(tunnelDirectory.nodesOf(1n), /WRONGTYPE/);
  for (const id of [2n, 3n]) assert.equal((await tunnelDirectory.nodesOf(id)).length, 1);
  await assert.rejects(agentDirectory.byAgentIds([1n]), /WRONGTYPE/);
  assert.equal((await agentDirectory.byAgentIds([2n])).length, 1);
  assert.equal(await tokenLimiter.tryTake(HASH, 1), true);
  assert.equal(await tokenLimiter.tryTake(HASH, 1), false, 'counted here');
  assert.equal(await errorCache.get('agent_info_errs', HASH), undefined);
  const refusal = { status: 404, path: '/x', reason: '' };
  await errorCache.set('agent_info_errs', HASH, refusal, 60_000); // SET takes the place of any type
  assert.deepEqual(await errorCache.get('agent_info_errs', HASH), refusal);
  assert.equal(node.troubles.at(-1), undefined, 'the connection is in order');
  tunnelDirectory.withdraw(1n);
  await node.arrived();
  for (const message of ['Failed to register tunnel', 'Failed to unregister tunnel', 'Failed to register agent']) {
    const line = node.lines.find((one) => one.message === message);
    assert.match(String(line?.fields.error), /WRONGTYPE/, message);
  }
});

redisTest('strings that are none of ours', async (t) => {
  const redis = await startRedis(t);
  const { store } = await connectedNode(t, reach(redis));
  const minute = new Date().getUTCMinutes();
  for (const at of [minute, (minute + 1) % 60]) await redis.ask('SET', keys.tokenCount(HASH, at), 'many');
  assert.equal(await store.tokenLimiter.tryTake(HASH, 1), true);
  assert.equal(await store.tokenLimiter.tryTake(HASH, 1), false, 'counted here');
  const other = toBinary(AnySchema, anyPack(GitPushEventSchema, create(GitPushEventSchema)));
  for (const value of [GARBAGE, '', 'text', Buffer.from(other)]) {
    await redis.ask('SET', keys.refusal('agent_info_errs', HASH), value);
    assert.equal(await store.errorCache.get('agent_info_errs', HASH), undefined);
  }
});

redisTest('messages that are none are dropped, those after them heard', async (t) => {
  const redis = await startRedis(t);
  const node = await connectedNode(t, reach(redis));
  const heard: unknown[] = [];
  node.store.eventBus.subscribe((event) => heard.push(event.project?.id));
  const other = toBinary(AnySchema, anyPack(ClientErrorSchema, create(ClientErrorSchema, { statusCode: 1 })));
  const event = create(GitPushEventSchema, { project: { id: 5n, fullPath: 'a' } });
  const good = Buffer.from(toBinary(AnySchema, anyPack(GitPushEventSchema, event)));
  for (const message of [GARBAGE, Buffer.from(other), '', good]) await redis.ask('PUBLISH', 'kas_events', message);
  await eventually('the good one', () => heard.length > 0);
  await delay(50);
  assert.deepEqual(heard, [5n]);
  const errors = node.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
  assert.deepEqual(errors, [
    'receiver message in channel "kas_events" cannot be unmarshalled into proto message',
    'Unable to handle received event',
  ]);
});
