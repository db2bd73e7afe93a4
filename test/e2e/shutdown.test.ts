// The end in order: no new work, running work finishes, nothing hangs for ever.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { ConnectRequestSchema } from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { dial } from '../support/endpoint.ts';
import { grpcConnection } from '../support/grpc_client.ts';
import { readiness, startServer } from '../support/server.ts';
import { delay, eventually, within } from '../support/wait.ts';

const graces = (listen: string, shutdown: string) => ({
  agent: {
    listen: { listen_grace_period: listen },
    kubernetes_api: { listen: { listen_grace_period: listen, shutdown_grace_period: shutdown } },
  },
});

async function watchCluster(listen: string, shutdown: string) {
  const watches: ServerResponse[] = [];
  const paths = {
    '/watch': (_: unknown, response: ServerResponse) => {
      response.writeHead(200).write('first\n');
      watches.push(response);
    },
  };
  const cluster = await startCluster({ backend: await startBackend({ paths }), config: graces(listen, shutdown) });
  const response = await cluster.open({ path: '/watch' });
  let text = '';
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await eventually('the first line', () => text === 'first\n');
  return { cluster, response, watch: watches[0] as ServerResponse, text: () => text };
}

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`${signal}: not ready at once, serving through the grace period, running requests finish, exit 0`, async () => {
    const { cluster, response, watch, text } = await watchCluster('3s', '20s');
    const { server } = cluster;
    server.signal(signal);
    await eventually('the readiness probe to say no', async () => (await readiness(server.endpoints)) === 500, 2500);
    assert.equal((await cluster.ask({ path: '/x' })).status, 404, 'still served in the grace period');
    await eventually(
      'the listeners to close',
      () =>
        dial(server.endpoints.kubernetesApi).then(
          (socket) => void socket.destroy(),
          () => true,
        ),
      5000,
    );
    await assert.rejects(dial(server.endpoints.agent), 'listeners close together');
    watch.write('second\n');
    await eventually('the second line', () => text() === 'first\nsecond\n');
    const end = once(response, 'end');
    watch.end('third\n');
    await within('the end of the watch', 3000, end);
    assert.equal(text(), 'first\nsecond\nthird\n');
    assert.equal(await within('the process’ end', 5000, server.exited), 0);
    await cluster.stop();
  });

test('what is still running after shutdown_grace_period is cut, and the exit status is 0', async () => {
  const { cluster, response } = await watchCluster('0.1s', '1s');
  response.on('error', () => {});
  const closed = new Promise((resolve) => response.once('close', resolve));
  const started = performance.now();
  cluster.server.signal('SIGTERM');
  assert.equal(await within('the process’ end', 6000, cluster.server.exited), 0);
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds >= 1, `after ${seconds} s`);
  await within('the end of the watch', 1000, closed);
  await cluster.stop();
});

test('idle agents get GOAWAY and OK for their tunnels', async () => {
  const server = await startServer({ config: graces('0.2s', '5s') });
  const connection = await grpcConnection(server.endpoints.agent);
  const call = connection.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', { gzip: true });
  call.sendMessage(ConnectRequestSchema, {
    msg: { case: 'descriptor', value: { agentDescriptor: { services: [{ name: 's', methods: [{ name: 'M' }] }] } } },
  });
  // The server has seen the descriptor when it answers a ping sent after it.
  await new Promise((resolve) => connection.session.ping(resolve));
  const goaway = once(connection.session, 'goaway');
  server.signal('SIGTERM');
  const [code, , why] = (await within('GOAWAY', 3000, goaway)) as [number, number, Buffer];
  assert.deepEqual([code, why.toString()], [0, 'graceful_stop']);
  assert.deepEqual(await within('the tunnel’s end', 3000, call.status), { code: 0, message: '' });
  assert.equal(await within('the process’ end', 5000, server.exited), 0);
  connection.close();
  await server.stop();
});

test('a further signal while it ends changes nothing', async () => {
  const server = await startServer({ config: graces('0.5s', '5s') });
  server.signal('SIGTERM');
  server.signal('SIGTERM');
  server.signal('SIGINT');
  assert.equal(await within('the process’ end', 5000, server.exited), 0);
  await server.stop();
});

test('a signal before the server is ready: it ends all the same, and leaves no socket behind', async (t) => {
  const start = () => startServer({ network: 'unix', config: graces('0.05s', '5s'), ready: false });
  const isUp = ({ msg }: { msg: string }) => msg === 'Kubernetes API endpoint is up'; // the last one
  const startedMs = performance.now();
  const whole = await start();
  await whole.waitForLog('the start', isUp, 30_000);
  const startMs = performance.now() - startedMs;
  await whole.stop();
  let early = 0;
  for (let part = 0; part <= 1.2; part += 0.08) {
    const server = await start();
    await delay(part * startMs);
    server.signal('SIGTERM');
    const outcome = await within(`the end after a signal at ${part} of the start`, 10_000, server.exited);
    // Before the program has begun to run, the kernel's own way of ending it is all there is.
    assert.ok(outcome === 0 || (outcome === 'SIGTERM' && server.log.length === 0), `${outcome} at ${part}`);
    assert.doesNotMatch(server.stderr(), /Program aborted/);
    const left = readdirSync(server.places.folder).filter((name) => name.endsWith('.sock'));
    assert.deepEqual(left, [], `after a signal at ${part} of the start`);
    if (!server.log.some(isUp)) early++;
    await server.kill();
  }
  t.diagnostic(`${early} signals ended a start of ${startMs.toFixed(0)} ms before it was complete`);
  assert.ok(early > 0);
});
