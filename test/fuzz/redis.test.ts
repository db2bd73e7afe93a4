// What stands in our keys of Redis, and comes over its channel: whoever else writes there, nothing is thrown, and nobody else pays.
import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { create, toBinary, toJson } from '@bufbuild/protobuf';
import { AnySchema, anyPack } from '@bufbuild/protobuf/wkt';
import { createClient } from '@redis/client';
import fc from 'fast-check';
import { AnswerSeal } from '../../src/auth/sealed_answer.ts';
import { Secret } from '../../src/config/secret.ts';
import { GetConnectedAgentsResponseSchema } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { GitPushEventSchema } from '../../src/gen/gitlab/agent/event/event_pb.ts';
import { ClientErrorSchema } from '../../src/gen/gitlab/agent/gitlab/gitlab_pb.ts';
import { connectedAgentInfo } from '../../src/modules/agent_tracker/agent_tracker.ts';
import { parseNodeUrl } from '../../src/routing/node_url.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import type { ConnectedAgent } from '../../src/store/agent_directory.ts';
import { encodePod } from '../../src/store/redis/connected_agent.ts';
import { encodeExpiring } from '../../src/store/redis/expiring_value.ts';
import { Keys } from '../../src/store/redis/keys.ts';
import { encodeGone } from '../../src/store/redis/last_seen.ts';
import { RedisError } from '../../src/store/redis/redis_error.ts';
import { connectedNode, reach } from '../integration/store/setup.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import { eventually } from '../support/wait.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, damaged, damages } from './lib/inputs.ts';

const keys = new Keys('gitlab-kas');
const OWN_URL = 'grpc://10.0.0.1:8155';
const soon = Math.floor(Date.now() / 1000) + 3000;
const HASH = Buffer.alloc(32, 7);
const OTHER_HASH = Buffer.alloc(32, 8);
const KIND = 'agent_info_errs';

/** An agent that garbage is written about, and one that it is not. */
const [HIT, SPARED] = [1n, 2n];

function pod(agentId: bigint): ConnectedAgent {
  const agentMeta = { version: 'v18.1.0', commitId: 'abc', podNamespace: 'ns', podName: 'pod' } as never;
  return { agentId, projectId: 10n + agentId, connectionId: 100n + agentId, agentMeta, connectedAtMs: 5000 };
}

/** What stands there in earnest, before it is damaged. */
const REAL = [
  encodeExpiring(soon),
  encodeExpiring(soon, encodePod(pod(HIT))),
  encodeExpiring(1_700_000_000, encodePod(pod(HIT))),
  encodeGone(1_700_000_000, 1_600_000_000_000),
  encodePod(pod(HIT)),
];

const value = fc.oneof(
  bytes(60),
  fc.tuple(fc.constantFrom(...REAL), damages()).map(([real, damage]) => damaged(real, damage)),
  // A valid entry with numbers as large as they get.
  fc
    .tuple(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.integer())
    .map(([expiresAt, seconds, nanos]) => hugePod(expiresAt, seconds, nanos)),
);
const field = fc.oneof(
  bytes(20),
  fc.bigInt(-(2n ** 64n), 2n ** 64n).map((id) => Buffer.from(String(id))),
  fc.constantFrom('grpc://', 'grpcs://h:0', 'unix://', 'grpc://[::1]:99999', 'http://x').map((url) => Buffer.from(url)),
);
const place = fc.constantFrom(
  keys.tunnelNodes(HIT),
  keys.podsOfAgent(HIT),
  keys.podsOfProject(10n + HIT),
  keys.connectedAgents,
);

function hugePod(expiresAt: bigint, seconds: bigint, nanos: number): Buffer {
  const varint = (n: bigint) => {
    const out: number[] = [];
    for (let left = BigInt.asUintN(64, n); ; left >>= 7n) {
      if (left < 128n) return Buffer.from([...out, Number(left)]);
      out.push(Number(left & 127n) | 128);
    }
  };
  const time = Buffer.concat([Buffer.of(0x08), varint(seconds), Buffer.of(0x10), varint(BigInt(nanos))]);
  const info = Buffer.concat([Buffer.of(0x12, time.length), time, Buffer.of(0x18, 1, 0x20, Number(HIT), 0x28, 11)]);
  return Buffer.concat([Buffer.of(0x08), varint(expiresAt), Buffer.of(0x12, info.length), info]);
}

if (noRedis !== false) test('fuzzing of Redis', { skip: noRedis });
else await define();

async function define(): Promise<void> {
  const redis = await startRedis(undefined);
  const untilTheEnd = { after: after as TestContext['after'] };
  const node = await connectedNode(untilTheEnd, reach(redis), { ownUrls: [OWN_URL] });
  const { tunnelDirectory, agentDirectory, errorCache, tokenLimiter, eventBus } = node.store;
  const raw = createClient({ RESP: 2, socket: { path: redis.socket, reconnectStrategy: false } as never });
  raw.on('error', () => {}); // Redis may end before it does
  await raw.connect();
  after(() => raw.destroy());
  const ask = (...command: (string | Buffer)[]) => raw.sendCommand(command);
  const startedAtMs = performance.now();
  const inOrder = () => assert.equal(node.troubles.at(-1), undefined, 'the connection is in order');

  /** What nodes of both agents have written. */
  async function writeReal(): Promise<void> {
    await ask('FLUSHALL');
    for (const agentId of [HIT, SPARED]) {
      const info = encodeExpiring(soon, encodePod(pod(agentId)));
      await ask('HSET', keys.tunnelNodes(agentId), 'grpc://real:8155', encodeExpiring(soon));
      await ask('HSET', keys.podsOfAgent(agentId), String(100n + agentId), info);
      await ask('HSET', keys.podsOfProject(10n + agentId), String(100n + agentId), info);
      await ask('HSET', keys.connectedAgents, String(agentId), encodeExpiring(soon));
    }
  }

  /** Reads all there is of the agents, and gives it to those who ask. */
  async function readAll(): Promise<void> {
    for (const url of await tunnelDirectory.nodesOf(HIT)) parseNodeUrl(url);
    assert.ok((await agentDirectory.count()) >= 1);
    for (const [version, count] of await agentDirectory.countByVersion()) assert.ok(count > 0, version);
    const seen = await agentDirectory.lastSeenMs(HIT);
    assert.ok(seen === undefined || Number.isFinite(seen));
    for (const found of [
      await agentDirectory.byAgentIds([HIT, SPARED]),
      await agentDirectory.byProjectIds([10n + HIT, 10n + SPARED]),
    ]) {
      const answer = create(GetConnectedAgentsResponseSchema, { agents: found.map(connectedAgentInfo) });
      toBinary(GetConnectedAgentsResponseSchema, answer);
      toJson(GetConnectedAgentsResponseSchema, answer);
      assert.ok(found.some(({ agentId }) => agentId === SPARED));
    }
  }

  async function othersAreFound(): Promise<void> {
    assert.deepEqual(await tunnelDirectory.nodesOf(SPARED), ['grpc://real:8155']);
    assert.deepEqual(
      (await agentDirectory.byAgentIds([SPARED])).map(({ connectionId }) => connectionId),
      [100n + SPARED],
    );
    inOrder();
  }

  fuzz(
    'garbage in the hashes of Redis is skipped',
    fc.array(fc.tuple(place, field, value), { minLength: 1, maxLength: 6 }),
    async (entries) => {
      await writeReal();
      for (const [key, name, bytes] of entries) await ask('HSET', key, name, bytes);
      await readAll();
      const overwritten = (key: Buffer, name: string) =>
        entries.some(([other, field]) => other.equals(key) && field.toString() === name);
      if (!overwritten(keys.tunnelNodes(HIT), 'grpc://real:8155')) {
        assert.ok((await tunnelDirectory.nodesOf(HIT)).includes('grpc://real:8155'));
      }
      if (!overwritten(keys.podsOfAgent(HIT), String(100n + HIT))) {
        const found = await agentDirectory.byAgentIds([HIT]);
        assert.ok(found.some(({ connectionId }) => connectionId === 100n + HIT));
      }
      await othersAreFound();
    },
  );

  const types: readonly ((key: Buffer) => (string | Buffer)[])[] = [
    (key) => ['SET', key, 'text'],
    (key) => ['RPUSH', key, 'a'],
    (key) => ['SADD', key, 'a'],
    (key) => ['ZADD', key, '1', 'a'],
    (key) => ['HSET', key, 'a', 'b'],
    (key) => ['XADD', key, '*', 'a', 'b'],
  ];
  const minutes = () => [0, 1].map((ahead) => (new Date().getUTCMinutes() + ahead) % 60);
  let next = 1000n;

  fuzz(
    'keys of Redis of another type cost only their own',
    fc.array(fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: types.length - 1 })), { minLength: 1, maxLength: 5 }),
    async (choices) => {
      await writeReal();
      // New agents, so that this node has something to write, in one batch with those that are refused.
      const hit = next++;
      const spared = next++;
      const targets = [
        [keys.tunnelNodes(hit)],
        [keys.podsOfAgent(hit)],
        [keys.podsOfProject(10n + hit)],
        [keys.refusal(KIND, HASH)],
        minutes().map((minute) => keys.tokenCount(HASH, minute)),
      ];
      for (const [target, type] of choices) {
        for (const key of targets[target]!) {
          await ask('DEL', key);
          await ask(...types[type]!(key));
        }
      }
      for (const agentId of [hit, spared]) {
        tunnelDirectory.announce(agentId);
        await agentDirectory.register(pod(agentId), 60_000);
      }
      await node.arrived();
      await answeredOrRefused(tunnelDirectory.nodesOf(hit));
      await answeredOrRefused(agentDirectory.byAgentIds([hit]));
      await answeredOrRefused(agentDirectory.byProjectIds([10n + hit]));
      await answeredOrRefused(agentDirectory.lastSeenMs(hit));
      assert.equal(typeof (await tokenLimiter.tryTake(HASH, 1_000_000)), 'boolean');
      const refusal = await errorCache.get(KIND, HASH);
      assert.ok(refusal === undefined || typeof refusal.status === 'number');
      assert.deepEqual(await tunnelDirectory.nodesOf(spared), [OWN_URL]);
      assert.equal((await agentDirectory.byAgentIds([spared])).length, 1);
      await othersAreFound();
      for (const agentId of [hit, spared]) {
        tunnelDirectory.withdraw(agentId);
        await agentDirectory.unregister(pod(agentId));
      }
      await node.arrived();
    },
  );

  const refusal = { status: 404, path: '/api/v4/x', reason: 'why' };
  const clientError = create(ClientErrorSchema, { statusCode: 404, path: '/x', reason: 'y' });
  const realRefusal = Buffer.from(toBinary(AnySchema, anyPack(ClientErrorSchema, clientError)));

  fuzz(
    'a refusal in Redis is one or none',
    fc.oneof(
      bytes(),
      damages().map((damage) => damaged(realRefusal, damage)),
    ),
    async (garbage) => {
      await ask('SET', keys.refusal(KIND, HASH), garbage);
      const found = await errorCache.get(KIND, HASH);
      if (found !== undefined) {
        assert.deepEqual(
          Object.values(found).map((member) => typeof member),
          ['number', 'string', 'string'],
        );
      }
      await errorCache.set(KIND, OTHER_HASH, refusal, 60_000);
      assert.deepEqual(await errorCache.get(KIND, OTHER_HASH), refusal);
      inOrder();
    },
  );

  const deps = { clock: systemClock, random: systemRandom };
  const seal = new AnswerSeal(new Secret(Buffer.alloc(32, 1)), 'answers', deps);
  const answer = Buffer.from('{"agent_id":1}');
  const sealed = seal.seal(HASH, answer, 600_000);

  fuzz(
    'an answer that was left in Redis is that one or none',
    fc.oneof(
      bytes(),
      damages().map((damage) => damaged(sealed, damage)),
    ),
    async (garbage) => {
      const kinds = { errors: KIND, answers: 'agent_info' };
      await ask('DEL', keys.refusal(KIND, HASH));
      await errorCache.share(kinds, [{ hash: HASH, answer: garbage }]);
      const known = await errorCache.look(kinds, HASH);
      assert.equal(known.error, undefined);
      const opened = seal.open(HASH, known.answer ?? Buffer.alloc(0));
      assert.deepEqual(opened?.answer, garbage.equals(sealed) ? answer : undefined);
      inOrder();
    },
  );

  const number = fc.oneof(fc.double(), fc.bigInt()).map((n) => Buffer.from(String(n)));
  fuzz('a counter in Redis that is none still counts', fc.oneof(bytes(30), number), async (garbage) => {
    await ask('FLUSHALL');
    for (const minute of minutes()) await ask('SET', keys.tokenCount(HASH, minute), garbage);
    assert.equal(typeof (await tokenLimiter.tryTake(HASH, 2)), 'boolean');
    for (const allowed of [true, false]) {
      // In the last instant of a minute the next one begins anew.
      const minute = new Date().getUTCMinutes();
      const taken = await tokenLimiter.tryTake(OTHER_HASH, 1);
      if (minute === new Date().getUTCMinutes()) assert.equal(taken, allowed);
      else return;
    }
    inOrder();
  });

  const push = create(GitPushEventSchema, { project: { id: 5n, fullPath: 'group/project' } });
  const realEvent = Buffer.from(toBinary(AnySchema, anyPack(GitPushEventSchema, push)));
  const heard: (bigint | undefined)[] = [];
  eventBus.subscribe(({ project }) => heard.push(project?.id));
  let last = 1_000_000n;

  fuzz(
    'garbage in the channel of Redis does not keep events from those who wait for them',
    fc.array(
      fc.oneof(
        bytes(),
        damages().map((damage) => damaged(realEvent, damage)),
      ),
      { maxLength: 8 },
    ),
    async (messages) => {
      for (const message of messages) await ask('PUBLISH', 'kas_events', message);
      const id = last++;
      await eventBus.publish(create(GitPushEventSchema, { project: { id, fullPath: 'a' } }));
      await eventually('the good event', () => heard.includes(id));
      heard.length = 0;
      assert.equal(node.lines.filter(({ message }) => message.startsWith('Defect')).length, 0);
      inOrder();
    },
  );

  test('what was wrong was told, not each time', () => {
    const told = node.lines.filter(({ level }) => level === 'error').map(({ message }) => message);
    assert.ok(told.includes('Redis hash scan'), told.join());
    const minutesSince = (performance.now() - startedAtMs) / 60_000;
    const most = new Set(told).size * (1 + Math.ceil(minutesSince));
    assert.ok(told.length <= most, `${told.length} lines in ${minutesSince} minutes`);
  });
}

/** Redis has refused, and that is said; nothing else may be thrown. */
async function answeredOrRefused(answer: Promise<unknown>): Promise<void> {
  await answer.catch((error: unknown) => assert.ok(error instanceof RedisError && error.answered, String(error)));
}
