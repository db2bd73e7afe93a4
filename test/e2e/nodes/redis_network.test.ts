// The network to Redis delays, cuts, swallows and half-closes, for both of two nodes. Prints what was lost, for
// docs/reliability.md.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault_proxy.ts';
import { reportLine, startLoad } from '../../support/load.ts';
import { type Nodes, startNodes, tunnelsKey } from '../../support/nodes.ts';
import { noRedis, startRedis, type TestRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';

const asked = { path: '/k8s-proxy/hello', headers: { authorization: 'Bearer pat:1:alice-pat' } };
const faults: readonly (readonly [what: string, happens: (network: FaultProxy) => Promise<void>])[] = [
  [
    'is slow',
    async (network) => {
      network.delay(300);
      await delay(3000);
      network.delay(0);
    },
  ],
  [
    'cuts connections',
    async (network) => {
      for (let i = 0; i < 5; i++) {
        network.cut();
        await delay(500);
      }
    },
  ],
  [
    'swallows everything for 6 s',
    async (network) => {
      network.set('blackhole');
      await delay(6000);
      network.cut();
      network.set('none');
    },
  ],
  [
    'loses the other end of connections',
    async (network) => {
      network.halfOpen();
      await delay(5000);
    },
  ],
  [
    'refuses connections for 3 s',
    async (network) => {
      network.set('reset');
      await delay(3000);
      network.set('none');
    },
  ],
];

async function nodesOverNetwork(t: TestContext): Promise<{ nodes: Nodes; network: FaultProxy; redis: TestRedis }> {
  const redis = await startRedis(t);
  const network = await startFaultProxy({
    network: 'tcp',
    host: '127.0.0.1',
    port: redis.port,
    path: '',
    ca: undefined,
  });
  t.after(() => network.close());
  const nodes = await startNodes({
    nodes: [{}, {}],
    redis,
    backend: await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } }),
    config: { redis: { server: { address: `127.0.0.1:${network.port}` } } },
  });
  t.after(() => nodes.stop());
  await nodes.connectAgent(1, 0);
  assert.equal((await nodes.ask(1, { path: '/hello' })).text, 'hello\n');
  return { nodes, network, redis };
}

for (const [what, happens] of faults) {
  test(`the network to Redis ${what}: nothing is lost, at either node`, {
    skip: noRedis,
    timeout: 90_000,
  }, async (t) => {
    const { nodes, network, redis } = await nodesOverNetwork(t);
    const loads = nodes.servers.map(({ endpoints }) =>
      startLoad(endpoints.kubernetesApi, asked, { connections: 2, pauseMs: 10, expected: 'hello\n' }),
    );
    await delay(300);
    await happens(network);
    await delay(1000);
    for (const [node, load] of loads.entries()) {
      const report = await load.stop();
      t.diagnostic(reportLine(`the network to Redis ${what}, node ${node}`, report));
      assert.deepEqual(report.lost, []);
      assert.ok(report.answered > 20, `${report.answered} answered`);
    }
    // And afterwards Redis is used as before.
    await nodes.connectAgent(2, 1);
    await eventually('the new agent in Redis', async () => Number(await redis.ask('HLEN', tunnelsKey(2))) === 1);
    assert.equal((await nodes.ask(0, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
  });
}
