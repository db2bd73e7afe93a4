// The server with a Redis that is absent at the start, comes, goes away, and comes back empty: agents and requests go on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AgentTracker } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';
import { type InternalCaller, internalCallers } from '../support/internal_api.ts';
import { parsePage } from '../support/prometheus.ts';
import { noRedis, startRedis, type TestRedis } from '../support/redis.ts';
import { delay, eventually, within } from '../support/wait.ts';

/** What a request may take: nobody waits for a Redis that is away. */
const AT_ONCE_MS = 2500;

describe('a Redis that comes and goes', { skip: noRedis }, () => {
  let redis: TestRedis;
  let cluster: Cluster;
  let callers: InternalCaller[];
  const ends: (() => Promise<void>)[] = [];
  before(async () => {
    redis = await startRedis({ after: (end) => ends.push(end as () => Promise<void>) });
    await redis.stop();
    cluster = await startCluster({
      backend: await startBackend({ paths: { '/x': (_, response) => void response.end('from the cluster') } }),
      gitlab: {},
      config: { redis: { server: { address: redis.address } } },
    });
    callers = await internalCallers(cluster.server.endpoints.api, cluster.gitlab?.secret ?? assert.fail());
  });
  after(async () => {
    for (const caller of callers) caller.close();
    await cluster.stop();
    for (const end of ends) await end();
  });

  const readiness = async () => {
    const { status, text } = await ask(cluster.server.endpoints.observability, { path: '/readiness' });
    assert.equal(status, 200);
    return text;
  };
  const metric = async (name: string) => {
    const { text } = await ask(cluster.server.endpoints.observability, { path: '/metrics' });
    return parsePage(text).get(name)?.samples[0]?.value;
  };
  const served = async (token: string) => {
    const { status, text } = await within('a request', AT_ONCE_MS, cluster.ask({ path: '/x', token }));
    assert.deepEqual([status, text], [200, 'from the cluster']);
  };
  const keys = async () => ((await redis.ask('KEYS', '*')) as Buffer[]).map((key) => key.toString('latin1'));
  const announced = async (agentId: number) =>
    (await keys()).some(
      (key) => key.includes('kas_by_agent_id') && key.endsWith(`${String.fromCharCode(agentId)}${'\0'.repeat(7)}`),
    );
  const connected = () =>
    within('an answer', AT_ONCE_MS, tracker().call(AgentTracker.method.getConnectedAgents, askedFor));
  const askedFor = { request: { case: 'agentId', value: 1n } } as const;
  const tracker = () => callers[0] ?? assert.fail();

  test('absent at the start: the server is ready and says what it does without', async () => {
    assert.match(await readiness(), /^redis: degraded: connect ECONNREFUSED 127\.0\.0\.1:\d+\n$/);
    assert.equal(await metric('gitlab_kas_store_up'), 0);
    assert.equal(await metric('connected_agents_count'), Number.NaN);
    await served('pat:1:alice-pat');
    const { log } = cluster.server;
    const lines = log.filter(({ msg }) => msg === 'Redis is not there, going on without it');
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.level, 'error');
  });

  test('then there: it is told of the agents, and all is well', async () => {
    await redis.start();
    await eventually('the agent', () => announced(1));
    await eventually('all to be well', async () => (await readiness()) === '');
    assert.equal(await metric('gitlab_kas_store_up'), 1);
    await cluster.server.waitForLog('of its return', ({ msg }) => msg === 'Redis is back');
  });

  test('requests by a known credential to a tunnel of this node do not ask it', async () => {
    await served('pat:1:alice-pat');
    await redis.ask('CONFIG', 'RESETSTAT');
    for (let i = 0; i < 20; i++) {
      await served('pat:1:alice-pat');
      await delay(30); // a request that finds no idle tunnel, because the agent is slower than the test, looks at other nodes
    }
    const stats = String(await redis.ask('INFO', 'commandstats'));
    const commands = [...stats.matchAll(/cmdstat_(\S+?):/g)].map(([, command]) => command);
    // The test's own connections, the server's for events, which may be late, and what shows that the server's are alive.
    const apart = ['config|resetstat', 'info', 'ping', 'client|setname', 'select', 'subscribe'];
    const others = commands.filter((command) => !apart.includes(command ?? ''));
    // The agent opens tunnels in place of those that were used, and may do so before or after its last one has gone.
    assert.deepEqual(
      others.filter((command) => !['hset', 'pexpire', 'multi', 'exec', 'hdel'].includes(command ?? '')),
      [],
    );
  });

  test('gone: new credentials, new tunnels and new agents are served, what needs Redis says so at once', async () => {
    await redis.stop();
    await eventually('the news', async () => (await readiness()).startsWith('redis: degraded: '));
    assert.equal(await metric('gitlab_kas_store_up'), 0);
    await served('pat:1:alice-pat');
    await served('pat:1:bob-pat');
    await within('another agent', 10_000, cluster.connectAgent(2));
    await served('pat:2:alice-pat');
    cluster.agentLink.cut();
    await eventually('the agent’s return', async () => (await cluster.ask({ path: '/x' })).status === 200);
    const refused = await within('a refusal', AT_ONCE_MS, cluster.ask({ path: '/x', token: 'pat:1:nobody' }));
    assert.equal(refused.status, 401);
    const { status } = await connected();
    assert.deepEqual([status.code, status.message], [14, 'GetConnectionsByAgentId() failed']);
    assert.equal((await ask(cluster.server.endpoints.observability, { path: '/liveness' })).status, 200);
  });

  test('back, and empty: everything is there again within seconds', async () => {
    await redis.start();
    for (const agentId of [1, 2]) await eventually(`agent ${agentId}`, () => announced(agentId), 5000);
    await eventually('all to be well', async () => (await readiness()) === '', 5000);
    const { status, response } = await connected();
    assert.equal(status.code, 0);
    assert.equal(response?.agents.length, 1);
    await served('pat:1:alice-pat');
  });
});
