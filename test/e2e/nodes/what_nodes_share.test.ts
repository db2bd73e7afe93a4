// What two nodes have in common through Redis: who is connected, what GitLab refused, how often a token came, GitLab's pushes. And that
// it stands there as a node of 2023 has it (test/vectors/redis).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { AnySchema, anyUnpack } from '@bufbuild/protobuf/wkt';
import { RegisterRequestSchema } from '../../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { ConnectedAgentInfoSchema } from '../../../src/gen/gitlab/agent/agent_tracker/agent_tracker_pb.ts';
import { AgentTracker } from '../../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import {
  ReconcileProjectsRequestSchema,
  ReconcileProjectsResponseSchema,
} from '../../../src/gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { ClientErrorSchema } from '../../../src/gen/gitlab/agent/gitlab/gitlab_pb.ts';
import { Notifications } from '../../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { ExpiringValueSchema } from '../../../src/gen/gitlab/agent/redistool/redistool_pb.ts';
import { startBackend } from '../../support/backend.ts';
import { defaultTables } from '../../support/gitlab/tables.ts';
import { type GrpcConnection, grpcConnection, type Status } from '../../support/grpc_client.ts';
import { type InternalCaller, internalCallers } from '../../support/internal_api.ts';
import { root } from '../../support/launch.ts';
import { type Nodes, startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis, type TestRedis } from '../../support/redis.ts';
import { eventually } from '../../support/wait.ts';

/** Seconds that a key of each kind lasts, by what its name begins with. */
const LIFETIMES = new Map([
  ['gitlab-kas:agent_tracker2:conn_by_agent_id:', 300],
  ['gitlab-kas:agent_tracker2:conn_by_project_id:', 300],
  ['gitlab-kas:agent_tracker2:connected_agents', 300],
  ['gitlab-kas:tunnel_tracker2:kas_by_agent_id:', 300],
  ['gitlab-kas:agent_limit:', 59],
  ['gitlab-kas:agent_info_errs:', 60],
  ['gitlab-kas:allowed_agents_errs:', 10],
  ['gitlab-kas:auth_proxy_user_errs:', 10],
]);
/** The one that nodes of 2023 do not have. */
const OURS = 'gitlab-kas:agent_info:';

interface RecordedKey {
  readonly key: { readonly parts: readonly [string, ...unknown[]] };
  readonly type: string;
  readonly pttl_ms: number;
}

describe('what nodes share', { skip: noRedis, timeout: 120_000 }, () => {
  const ends: (() => unknown)[] = [];
  let redis: TestRedis;
  let nodes: Nodes;
  const agents: GrpcConnection[] = [];
  const rails: InternalCaller[] = [];
  let scans = 0;

  before(async () => {
    redis = await startRedis({ after: (end: () => unknown) => void ends.push(end) });
    const tables = defaultTables();
    tables.agents.set('twins-share-this-half-b', { id: 9, name: 'agent-9', projectId: 1009 });
    nodes = await startNodes({ nodes: [{}, {}], redis, backend: await startBackend(), gitlab: { tables } });
    ends.push(() => nodes.stop());
    for (const { endpoints } of nodes.servers) {
      const agent = await grpcConnection(endpoints.agent);
      agents.push(agent);
      const callers = await internalCallers(endpoints.api, nodes.gitlab.secret);
      rails.push(callers[0] ?? assert.fail());
      ends.push(() => agent.close(), ...callers.map((caller) => () => caller.close()));
    }
    const agent = await nodes.connectAgent(2, 0);
    await eventually('its registration', () => agent.registrations > 0);
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  /** All keys; not by a command that nodes could use. */
  const keys = async () => {
    scans++;
    return ((await redis.ask('SCAN', '0', 'COUNT', '100000')) as [Buffer, Buffer[]])[1];
  };
  const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');

  /** What a new connection to the node is told that shows the token, and wants to register its agent. */
  const comes = async (node: number, token: string): Promise<Status> => {
    const connection = await grpcConnection(nodes.servers[node]?.endpoints.agent ?? assert.fail());
    const call = connection.call('/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register', { token });
    call.sendMessage(RegisterRequestSchema, { agentMeta: { version: 'v1' }, podId: 77n });
    call.halfClose();
    const status = await call.status;
    connection.close();
    return status;
  };

  test('agents of all nodes are listed by each', async () => {
    for (const caller of rails) {
      const { status, response } = await caller.call(AgentTracker.method.getConnectedAgents, {
        request: { case: 'agentId', value: 2n },
      });
      assert.equal(status.code, 0, status.message);
      assert.deepEqual(
        response?.agents.map(({ agentId, projectId }) => [agentId, projectId]),
        [[2n, 1002n]],
      );
    }
  });

  test('keys, their types, values and times to live are those of a node of 2023', async () => {
    await eventually('the agent in Redis', async () => (await keys()).some((key) => key.includes('kas_by_agent_id')));
    const refused = nodes.ask(0, { path: '/', token: 'pat:2:nobody' });
    const refusedJob = nodes.ask(0, { path: '/', token: 'ci:2:nobody' });
    await comes(0, 'a-token-of-nobody');
    assert.deepEqual([(await refused).status, (await refusedJob).status], [401, 401]);
    const seen = new Set<string>();
    for (const key of await keys()) {
      const name = key.toString('latin1');
      if (name.startsWith(OURS)) continue;
      const kind = [...LIFETIMES.keys()].find((head) => name.startsWith(head)) ?? assert.fail(name);
      seen.add(kind);
      const [type, ttlMs] = [String(await redis.ask('TYPE', key)), Number(await redis.ask('PTTL', key))];
      if (ttlMs === -2) continue; // it has expired on the way
      assert.equal(type, recorded(kind).type, name);
      const [most, least] = [(LIFETIMES.get(kind) ?? 0) * 1000, kind.endsWith('_errs:') ? 0 : 30_000];
      assert.ok(ttlMs > least && ttlMs <= most, `${name}: ${ttlMs} ms`);
      assert.ok(recorded(kind).pttl_ms <= most);
      if (type === 'hash') await entries(key, kind);
      else if (kind.endsWith('_errs:')) {
        const error = anyUnpack(fromBinary(AnySchema, (await redis.ask('GET', key)) as Buffer), ClientErrorSchema);
        assert.ok([401, 403, 404].includes(error?.statusCode ?? 0), name);
        assert.match(String(error?.path), /^\/api\/v4\//);
      } else assert.match(String(await redis.ask('GET', key)), /^\d+$/);
    }
    assert.deepEqual([...seen].sort(), [...LIFETIMES.keys()].sort());
  });

  /** Fields of a hash of connected agents or of nodes. */
  async function entries(key: Buffer, kind: string): Promise<void> {
    const words = ((await redis.ask('HSCAN', key, '0', 'COUNT', '100000')) as [Buffer, Buffer[]])[1];
    assert.ok(words.length > 0);
    for (let i = 0; i < words.length; i += 2) {
      const [field, { expiresAt, value }] = [
        String(words[i]),
        fromBinary(ExpiringValueSchema, words[i + 1] ?? assert.fail()),
      ];
      const leftSeconds = Number(expiresAt) - Date.now() / 1000;
      assert.ok(leftSeconds > 30 && leftSeconds <= 301, `${kind}: ${leftSeconds} s`);
      if (kind.includes(':conn_by_')) {
        const { agentId, projectId, connectionId, connectedAt } = fromBinary(ConnectedAgentInfoSchema, value);
        assert.deepEqual([agentId, projectId, String(connectionId)], [2n, 1002n, field]);
        assert.ok(connectedAt);
      } else {
        assert.equal(value.length, 0);
        assert.match(field, kind.includes('kas_by_agent_id') ? /^grpc:\/\/127\.0\.0\.1:\d+$/ : /^\d+$/);
      }
    }
  }

  test('tokens are hashed whole: what is one’s own neither counts nor is refused with another’s', async () => {
    const [a, b] = ['twins-share-this-half-a', 'twins-share-this-half-b'];
    const { code } = await comes(0, a);
    assert.equal(code, 16);
    for (const node of [0, 1]) assert.deepEqual(await comes(node, b), { code: 0, message: '' });
    const names = (await keys()).map((key) => key.toString('hex'));
    for (const token of [a, b]) {
      const limit = Buffer.from('gitlab-kas:agent_limit:').toString('hex');
      assert.ok(
        names.some((name) => name.startsWith(limit + hashOf(token))),
        token,
      );
    }
    const refusals = names.filter((name) =>
      name.startsWith(Buffer.from('gitlab-kas:agent_info_errs:').toString('hex')),
    );
    assert.ok(refusals.some((name) => name.endsWith(hashOf(a))));
    assert.ok(!refusals.some((name) => name.endsWith(hashOf(b))));
  });

  test('what GitLab refused to one node, the other does not ask again', async () => {
    const asked = () => nodes.gitlab.requestsTo('/agent_info').length;
    const first = await comes(0, 'refused-everywhere');
    assert.equal(first.code, 16);
    const before = asked();
    assert.deepEqual(await comes(1, 'refused-everywhere'), first);
    assert.equal(asked(), before);
  });

  test('a push that GitLab tells one node reaches an agent of the other', async () => {
    const call = agents[1]?.call('/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects') ?? assert.fail();
    call.sendMessage(ReconcileProjectsRequestSchema, { project: [{ id: 'group/app' }] });
    call.halfClose();
    const heard = call.nextMessage(ReconcileProjectsResponseSchema, 60_000);
    let told = false;
    heard.then(
      () => (told = true),
      () => {},
    );
    // Nothing is heard before the subscription, of which nobody tells.
    await eventually('the push', async () => {
      await rails[0]?.call(Notifications.method.gitPushEvent, {
        event: { project: { id: 7n, fullPath: 'group/app' } },
      });
      return told;
    });
    assert.equal((await heard).project?.id, 'group/app');
    call.cancel();
  });

  test('Redis is never asked for all keys, or for all of a hash at once', async () => {
    const client = [...String(await redis.ask('CLIENT', 'LIST')).matchAll(/name=gitlab-kas .*? cmd=(\S+)/g)];
    assert.equal(client.length, 4, 'two connections of each node');
    const calls = [...String(await redis.ask('INFO', 'commandstats')).matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)];
    const counts = new Map(calls.map(([, command, count]) => [command, Number(count)]));
    for (const command of ['keys', 'hgetall', 'hkeys', 'hvals', 'smembers'])
      assert.equal(counts.get(command), undefined);
    assert.equal(counts.get('scan'), scans, 'only this test looks at all keys');
    assert.ok((counts.get('hset') ?? 0) > 0);
  });
});

/** How the recorded nodes had a key of this kind. */
function recorded(kind: string): RecordedKey {
  const read = (name: string) => JSON.parse(readFileSync(`${root}/test/vectors/redis/${name}`, 'utf8'));
  const { snapshots } = read('snapshots.json') as { snapshots: { keys: RecordedKey[] }[] };
  const { error_cache: refusals, counters } = read('error-cache-and-limits.json') as Record<string, RecordedKey[]>;
  const all = [...(snapshots[0]?.keys ?? []), ...(refusals ?? []), ...(counters ?? [])];
  return all.find(({ key }) => key.parts[0] === kind) ?? assert.fail(kind);
}

test('connections of a token are counted over all nodes', { skip: noRedis, timeout: 120_000 }, async (t) => {
  const redis = await startRedis(t);
  const config = { agent: { listen: { connections_per_token_per_minute: 3 } } };
  const nodes = await startNodes({ nodes: [{}, {}], redis, backend: await startBackend(), config });
  t.after(() => nodes.stop());
  const first = async (node: number): Promise<Status | 'open'> => {
    const connection = await grpcConnection(nodes.servers[node]?.endpoints.agent ?? assert.fail());
    t.after(() => connection.close());
    const limit = Buffer.from('gitlab-kas:agent_limit:');
    const counts = async () => {
      const found: string[] = [];
      for (const key of (await redis.ask('KEYS', '*')) as Buffer[]) {
        if (key.subarray(0, limit.length).equals(limit))
          found.push(`${key.toString('hex')} ${await redis.ask('GET', key)}`);
      }
      return found.sort().join('\n');
    };
    const before = await counts();
    const call = connection.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect');
    return await Promise.race([
      call.status,
      // Or the minute ends, and takes its count along.
      eventually('the connection to be counted', async () => (await counts()) !== before).then(() => 'open' as const),
    ]);
  };
  const minute = () => new Date().getUTCMinutes();
  for (let begun = -1; begun !== minute(); ) {
    begun = minute();
    await redis.ask('FLUSHALL');
    const outcomes = [await first(0), await first(1), await first(0)];
    const fourth = await first(1);
    if (begun !== minute()) continue;
    assert.deepEqual(outcomes, ['open', 'open', 'open']);
    const { code, message } = fourth as Status;
    assert.deepEqual([code, message], [8, 'new connection rate limit exhausted for this agent, try again later']);
  }
});
