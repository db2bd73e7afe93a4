// Redis fails over, dies and comes back empty, or holds garbage, while requests enter two nodes. Prints what was lost, for
// docs/reliability.md.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { AgentTracker } from '../../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { startBackend } from '../../support/backend.ts';
import { ask } from '../../support/http_client.ts';
import { internalCallers } from '../../support/internal_api.ts';
import { type LoadReport, reportLine, startLoad } from '../../support/load.ts';
import { announceNode, type Nodes, startNodes, tunnelsKey } from '../../support/nodes.ts';
import { noRedis, startRedis, startSentinel, type TestRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';

const asked = { path: '/k8s-proxy/hello', headers: { authorization: 'Bearer pat:1:alice-pat' } };

/** Two nodes; agent 1 is at the first. */
async function twoNodes(t: TestContext, redis: TestRedis, config = {}): Promise<Nodes> {
  const backend = await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } });
  const nodes = await startNodes({ nodes: [{}, {}], redis, backend, config });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  for (const node of [0, 1]) assert.equal((await nodes.ask(node, { path: '/hello' })).text, 'hello\n');
  return nodes;
}

/** What becomes of requests that enter the agent's node, and of those that enter the other one, while something happens. */
async function underLoad(nodes: Nodes, happens: () => Promise<void>): Promise<LoadReport[]> {
  const loads = nodes.servers.map(({ endpoints }) =>
    startLoad(endpoints.kubernetesApi, asked, { connections: 4, pauseMs: 5, expected: 'hello\n' }),
  );
  try {
    await delay(500);
    await happens();
    await delay(500);
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
  }
  return loads.map(({ report }) => report);
}

function nothingLost(t: TestContext, scenario: string, reports: readonly LoadReport[]): void {
  for (const [i, report] of reports.entries()) {
    t.diagnostic(reportLine(`${scenario}, at ${i === 0 ? 'the agent’s' : 'the other'} node`, report));
    assert.ok(report.answered > 20, `${report.answered} requests`);
    assert.deepEqual(report.lost, []);
  }
}

for (const [what, fail] of [
  ['asked for', (sentinel: Sentinel) => sentinel.failover()],
  ['after the master’s death', (sentinel: Sentinel) => sentinel.master.stop()],
] as const) {
  test(`Sentinel fails over, ${what}, under load of two nodes`, { skip: noRedis, timeout: 120_000 }, async (t) => {
    const sentinel = await startSentinel(t, { masterName: 'mymaster' });
    const nodes = await twoNodes(t, sentinel.master, {
      redis: { server: undefined, sentinel: { master_name: 'mymaster', addresses: [...sentinel.sentinels] } },
    });
    let backMs = 0;
    const reports = await underLoad(nodes, async () => {
      const before = performance.now();
      await fail(sentinel);
      await eventually(
        'a new master',
        async () => String(await sentinel.replica.ask('ROLE')).startsWith('master'),
        30_000,
      );
      await eventually('both nodes at the new master', () => nodesAt(sentinel.replica).then((n) => n === 2), 10_000);
      await eventually(
        'the agent in the new master',
        async () => Number(await sentinel.replica.ask('HLEN', tunnelsKey(1))) === 1,
      );
      backMs = Math.round(performance.now() - before);
    });
    nothingLost(t, `failover ${what} (nodes at the new master after ${backMs} ms)`, reports);
    // What is written after the failover is found by the other node: an agent that comes now.
    await nodes.connectAgent(2, 1);
    assert.equal((await nodes.ask(0, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
  });
}

type Sentinel = Awaited<ReturnType<typeof startSentinel>>;

/** How many nodes have their connection for commands to this server. */
async function nodesAt(redis: TestRedis): Promise<number> {
  const clients = String(await redis.ask('CLIENT', 'LIST', 'TYPE', 'normal'));
  return clients.split('\n').filter((line) => line.includes('name=gitlab-kas')).length;
}

test('Redis is killed and comes back empty under load of two nodes', { skip: noRedis, timeout: 120_000 }, async (t) => {
  const redis = await startRedis(t);
  const nodes = await twoNodes(t, redis);
  let backMs = 0;
  const reports = await underLoad(nodes, async () => {
    await redis.stop();
    await delay(5000);
    await redis.start();
    const before = performance.now();
    await eventually('the agent in Redis', async () => Number(await redis.ask('HLEN', tunnelsKey(1))) === 1, 10_000);
    backMs = Math.round(performance.now() - before);
  });
  nothingLost(t, `Redis away for 5 s (written again after ${backMs} ms)`, reports);
  for (const server of nodes.servers) await server.waitForLog('of its return', ({ msg }) => msg === 'Redis is back');
  await nodes.connectAgent(2, 1);
  assert.equal((await nodes.ask(0, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
});

for (const [what, error, refuse, relent] of [
  ['is full', 'OOM', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
  ['has become a replica', 'READONLY', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
] as const) {
  test(`Redis ${what}, under load of two nodes: that is named, and costs nothing`, {
    skip: noRedis,
    timeout: 120_000,
  }, async (t) => {
    const redis = await startRedis(t);
    const nodes = await twoNodes(t, redis);
    const readiness = async () =>
      await Promise.all(nodes.servers.map(({ endpoints }) => ask(endpoints.observability, { path: '/readiness' })));
    const named = async () =>
      (await readiness()).filter(({ text }) => text.startsWith(`redis: degraded: ${error} `)).length;
    const reports = await underLoad(nodes, async () => {
      await redis.ask(...refuse);
      // Each has something to write: the agents that come.
      for (const node of [0, 1]) await nodes.connectAgent(2, node);
      await eventually('both nodes to name it', async () => (await named()) === 2);
      assert.ok((await readiness()).every(({ status }) => status === 200));
      for (const node of [0, 1]) {
        assert.equal((await nodes.ask(node, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
      }
      await redis.ask(...relent);
      await eventually('all to be well', async () => (await readiness()).every(({ text }) => text === ''), 30_000);
      await eventually('both in Redis', async () => Number(await redis.ask('HLEN', tunnelsKey(2))) === 2, 30_000);
    });
    nothingLost(t, `Redis ${what}`, reports);
    for (const server of nodes.servers) {
      const lines = server.log.filter(({ msg }) => msg === 'Redis stores nothing, going on without it');
      assert.deepEqual(
        lines.map((line) => [line.level, String(line.error).split(' ')[0]]),
        [['error', error]],
      );
    }
  });
}

test('garbage in Redis under the keys of an agent disturbs nobody', { skip: noRedis, timeout: 60_000 }, async (t) => {
  const redis = await startRedis(t);
  const nodes = await twoNodes(t, redis);
  const garbage = Buffer.from([0xff, 0xff, 0xff, 0x07, 0x08]);
  for (const id of [1, 2]) {
    for (const [field, value] of [
      ['grpc://127.0.0.1:2', garbage],
      ['grpc://127.0.0.1:3', Buffer.from('text')],
      ['no URL', Buffer.alloc(0)],
    ] as const)
      await redis.ask('HSET', tunnelsKey(id), field, value);
    // In order, and yet of no use: what is no URL, what another version may write, where nobody is.
    for (const url of ['', 'http://127.0.0.1:4', 'grpc:127.0.0.1|8155', 'grpc://[::', 'grpc://127.0.0.1:1']) {
      await announceNode(redis, id, url);
    }
  }
  const reports = await underLoad(nodes, () => delay(1500));
  nothingLost(t, 'garbage under the keys', reports);
  await nodes.connectAgent(2, 0);
  const { status, text } = await nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' });
  assert.deepEqual([status, text], [200, 'hello\n']);
  // Another type: nobody can be found through it, and whoever is here is served all the same.
  await redis.ask('DEL', tunnelsKey(2));
  await redis.ask('SET', tunnelsKey(2), 'text');
  assert.equal((await nodes.ask(0, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
  assert.equal((await nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n', 'remembered');
  for (const { log } of nodes.servers) {
    const loud = log.filter(({ level }) => level === 'error').length;
    assert.ok(loud < 30, `${loud} errors in the log`);
  }
});

test('garbage under every other key of ours disturbs nobody, and is told of', {
  skip: noRedis,
  timeout: 60_000,
}, async (t) => {
  const redis = await startRedis(t);
  const nodes = await twoNodes(t, redis);
  const callers = await internalCallers(nodes.servers[1]?.endpoints.api ?? assert.fail(), nodes.gitlab.secret);
  t.after(() => {
    for (const caller of callers) caller.close();
  });
  const pods = async (agentId: bigint) => {
    const request = { request: { case: 'agentId', value: agentId } } as const;
    const { status, response } =
      (await callers[0]?.call(AgentTracker.method.getConnectedAgents, request)) ?? assert.fail();
    assert.equal(status.code, 0, status.message);
    return response?.agents.length;
  };
  await eventually('the registration', async () => (await pods(1n)) === 1);
  const garbage = Buffer.from([0xff, 0xff, 0xff, 0x07, 0x08]);
  const key = (kind: string, ...parts: (string | Buffer)[]) =>
    Buffer.concat([`gitlab-kas:${kind}`, ...parts].map((part) => Buffer.from(part)));
  const hash = (token: string) => createHash('sha256').update(token).digest();
  const ofAgent = Buffer.alloc(8);
  ofAgent[0] = 1;
  for (const kind of ['agent_tracker2:conn_by_agent_id:', 'agent_tracker2:conn_by_project_id:']) {
    await redis.ask('HSET', key(kind, ofAgent), '1', garbage, 'no number', 'text', '3', '');
  }
  await redis.ask('HSET', key('agent_tracker2:connected_agents'), 'x', 'text', '99', garbage);
  // One agent meets values that are none, the other keys of another type; so does the next minute, and the next period.
  for (let minute = 0; minute < 60; minute++) {
    await redis.ask('SET', key('agent_limit:', hash('agent-token-2'), ':', Buffer.of(minute)), 'many');
    await redis.ask('LPUSH', key('agent_limit:', hash('agent-token-9'), ':', Buffer.of(minute)), 'many');
  }
  await redis.ask('SET', key('agent_info_errs:', hash('agent-token-2')), garbage);
  await redis.ask('LPUSH', key('agent_info_errs:', hash('agent-token-9')), 'a');
  await redis.ask('SET', key('allowed_agents_errs:', hash('job-agent')), 'text');
  const period = Math.floor(Date.now() / 300_000);
  for (const at of [period - 1, period, period + 1]) {
    await redis.ask('HSET', key('agent_info:', String(at)), hash('agent-token-2'), garbage, hash('agent-token-9'), '');
  }
  for (const message of [garbage, '', 'text']) await redis.ask('PUBLISH', 'kas_events', message);
  for (const [agent, node] of [
    [2, 1],
    [9, 0],
  ] as const) {
    await nodes.connectAgent(agent, node);
    for (const entry of [0, 1]) {
      assert.equal((await nodes.ask(entry, { path: '/hello', token: `pat:${agent}:alice-pat` })).text, 'hello\n');
      assert.equal((await nodes.ask(entry, { path: '/hello', token: 'ci:1:job-agent' })).text, 'hello\n');
    }
  }
  assert.equal(await pods(1n), 1);
  for (const { log } of nodes.servers) {
    const errors = log.filter(({ level, mod_name }) => level === 'error' && mod_name === 'redis');
    assert.ok(errors.length > 0 && errors.length < 30, `${errors.length} errors in the log`);
    for (const { msg, hint } of errors) assert.ok(String(hint).length > 20, msg);
  }
});
