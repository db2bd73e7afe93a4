// Nodes come and go behind a balancer while requests run. Prints what was lost, for docs/reliability.md.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { haProxyProgram, startHaProxy } from '../../support/haproxy.ts';
import { reportLine, startLoad } from '../../support/load.ts';
import { type Nodes, startNodes, tunnelsKey } from '../../support/nodes.ts';
import { noRedis, startRedis, type TestRedis } from '../../support/redis.ts';
import { delay, eventually, within } from '../../support/wait.ts';

const hello = { paths: { '/hello': (_: unknown, response: { end(text: string): void }) => response.end('hello\n') } };
const skip = noRedis || (haProxyProgram() === undefined && 'no haproxy here: install it (Debian: haproxy)');
const asked = { path: '/k8s-proxy/hello', headers: { authorization: 'Bearer pat:1:alice-pat' } };
const load = { connections: 8, pauseMs: 2, expected: 'hello\n' };
const graces = {
  agent: {
    listen: { listen_grace_period: '1.5s' },
    kubernetes_api: { listen: { listen_grace_period: '1.5s', shutdown_grace_period: '20s' } },
  },
};

async function threeNodes(t: TestContext): Promise<{ nodes: Nodes; redis: TestRedis }> {
  const redis = await startRedis(t);
  const backend = await startBackend(hello);
  const nodes = await startNodes({ nodes: [{}, {}, {}], redis, backend, config: graces });
  t.after(() => nodes.stop());
  return { nodes, redis };
}

test('rolling restart of all nodes under load loses nothing', { skip, timeout: 120_000 }, async (t) => {
  const { nodes } = await threeNodes(t);
  const places = nodes.servers.map(({ endpoints }) => endpoints);
  const balancer = await startHaProxy(places);
  t.after(() => balancer.close());
  await eventually('all nodes to be up', () => delay(1500).then(() => true));
  await nodes.connectAgent(1, balancer.agents);
  const running = startLoad(balancer.kubernetesApi, asked, load);
  await delay(1000);
  for (const node of [0, 1, 2]) {
    const server = nodes.servers[node] ?? assert.fail();
    server.signal('SIGTERM');
    assert.equal(await within('the node’s end', 15_000, server.exited), 0);
    await nodes.restartNode(node);
    await delay(1500);
  }
  const report = await running.stop();
  t.diagnostic(reportLine('rolling restart of three nodes', report));
  assert.ok(report.sent > 500, `${report.sent} requests`);
  assert.deepEqual(report.lost, []);
});

test('kill -9 of a node costs what was in flight there, and its agents are back within 5 s', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const { nodes, redis } = await threeNodes(t);
  const balancer = await startHaProxy(
    nodes.servers.map(({ endpoints }) => endpoints),
    { redispatch: true },
  );
  t.after(() => balancer.close());
  await delay(1500);
  await nodes.connectAgent(1, balancer.agents);
  const running = startLoad(balancer.kubernetesApi, asked, load);
  await delay(500);
  const before = running.report.lost.length;
  assert.equal(before, 0);
  const nodesOfAgent = async () => {
    const urls = (await redis.ask('HKEYS', tunnelsKey(1))) as Buffer[];
    return urls.map((url) =>
      nodes.servers.findIndex(({ endpoints }) => String(url).endsWith(`:${endpoints.privateApi.port}`)),
    );
  };
  const itsNode = (await nodesOfAgent())[0] ?? assert.fail();
  const killed = performance.now();
  nodes.servers[itsNode]?.signal('SIGKILL');
  await eventually(
    'the agent to be at another node',
    async () => (await nodesOfAgent()).some((node) => node !== itsNode),
    5000,
  );
  const back = performance.now() - killed;
  await delay(4000);
  const report = await running.stop();
  t.diagnostic(
    reportLine(`kill -9 of the agent’s node, one of three (agent back after ${Math.round(back)} ms)`, report),
  );
  // What was in flight: one request of each connection, and one more of each that the balancer had kept open to the node.
  assert.ok(report.lost.length <= 2 * load.connections, report.lost.join('\n'));
  const after = await nodes.ask((itsNode + 1) % 3, { path: '/hello' });
  assert.equal(after.text, 'hello\n');
});
