// The network between nodes delays, cuts, swallows and half-closes. Prints what was lost, for docs/reliability.md.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { freePort } from '../../support/endpoint.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault_proxy.ts';
import { sampleValue } from '../../support/limit_count.ts';
import { type LoadReport, reportLine, startLoad } from '../../support/load.ts';
import { type Nodes, startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';

const asked = { path: '/k8s-proxy/hello', headers: { authorization: 'Bearer pat:1:alice-pat' } };

/** Two nodes; the first is reached by the second through a network that can be broken. The agent is at the first. */
async function nodesOverNetwork(t: TestContext): Promise<{ nodes: Nodes; network: FaultProxy }> {
  const redis = await startRedis(t);
  const port = await freePort();
  const backend = await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } });
  const nodes = await startNodes({
    nodes: [{ env: { OWN_PRIVATE_API_URL: `grpc://127.0.0.1:${port}` } }, {}],
    redis,
    backend,
  });
  t.after(() => nodes.stop());
  const network = await startFaultProxy(nodes.servers[0]?.endpoints.privateApi ?? assert.fail(), port);
  t.after(() => network.close());
  await nodes.connectAgent(1, 0);
  assert.equal((await nodes.ask(1, { path: '/hello' })).text, 'hello\n');
  return { nodes, network };
}

/** Asks the second node while `happens` does. */
async function underLoad(nodes: Nodes, happens: () => Promise<void>): Promise<LoadReport> {
  const { kubernetesApi } = nodes.servers[1]?.endpoints ?? assert.fail();
  const load = startLoad(kubernetesApi, asked, { connections: 4, pauseMs: 5, expected: 'hello\n' });
  await delay(300);
  await happens();
  return await load.stop();
}

test('a slow network costs its time and nothing else', { skip: noRedis, timeout: 60_000 }, async (t) => {
  const { nodes, network } = await nodesOverNetwork(t);
  const report = await underLoad(nodes, async () => {
    network.delay(50);
    await delay(3000);
    network.delay(0);
  });
  t.diagnostic(reportLine('50 ms each way between two nodes', report));
  assert.deepEqual(report.lost, []);
});

test('a connection that is cut costs what was in flight on it', { skip: noRedis, timeout: 60_000 }, async (t) => {
  const { nodes, network } = await nodesOverNetwork(t);
  const report = await underLoad(nodes, async () => {
    for (let i = 0; i < 5; i++) {
      network.cut();
      await delay(300);
    }
  });
  t.diagnostic(reportLine('five cuts between two nodes', report));
  assert.ok(report.lost.length <= 5 * 4, report.lost.join('\n'));
  assert.ok(report.answered > 20);
});

for (const fault of ['blackhole', 'half-open'] as const) {
  test(`${fault}: a peer that says nothing any more is given up within seconds, and asked again`, {
    skip: noRedis,
    timeout: 90_000,
  }, async (t) => {
    const { nodes, network } = await nodesOverNetwork(t);
    const report = await underLoad(nodes, async () => {
      if (fault === 'blackhole') {
        network.set('blackhole');
        await delay(2000);
        network.cut();
        network.set('none');
      } else network.halfOpen();
      await delay(8000);
    });
    t.diagnostic(reportLine(`${fault} between two nodes for 2 s`, report));
    assert.ok(report.lost.length <= 2 * 4, report.lost.join('\n'));
    assert.equal((await nodes.ask(1, { path: '/hello' })).text, 'hello\n');
  });
}

test('a node whose peer is out of reach still serves its own agents', { skip: noRedis, timeout: 60_000 }, async (t) => {
  const { nodes, network } = await nodesOverNetwork(t);
  network.set('reset');
  await nodes.connectAgent(2, 1);
  for (let i = 0; i < 20; i++) {
    assert.equal((await nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
    assert.equal((await nodes.ask(0, { path: '/hello' })).text, 'hello\n');
  }
  const request = nodes.ask(1, { path: '/hello' });
  const failures = 'gitlab_kas_peer_failures_total{reason="reset"}';
  const asking = nodes.servers[1] ?? assert.fail();
  await eventually('the metric', async () => (await sampleValue(asking, failures)) > 0);
  network.set('none');
  assert.equal((await request).text, 'hello\n');
});
