// port-forward, attach and exec with the streaming code of kubelet and kube-apiserver at the far end, over SPDY and WebSocket.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { dial, freePort } from '../support/endpoint.ts';
import { buildGoProgram, withoutGo } from '../support/go_program.ts';
import { type Kubectl, kubectlFor, withoutKubectl } from '../support/kubectl.ts';
import { startKubelab } from '../support/kubelab.ts';
import { type Nginx, nginxProgram, startNginx } from '../support/nginx.ts';
import { makeTls } from '../support/tls.ts';
import { eventually, within } from '../support/wait.ts';

const without = withoutGo || withoutKubectl;
const withoutNginx = nginxProgram() === undefined ? 'no nginx on this machine' : false;
for (const reason of [without, withoutNginx])
  if (reason) process.stderr.write(`SKIPPED: port-forward, attach and SPDY: ${reason}\n`);

const protocols = {
  SPDY: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' },
  WebSocket: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'true', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'true' },
};

for (const through of ['nothing', 'nginx'] as const)
  kubeletStreams(through, without || (through === 'nginx' && withoutNginx));

function kubeletStreams(through: 'nothing' | 'nginx', skip: string | false): void {
  describe(`kubelet’s streams through ${through}`, { skip }, () => {
    type Kubelab = Awaited<ReturnType<typeof startKubelab>>;
    let cluster: Cluster<Kubelab>;
    let nginx: Nginx | undefined;
    let echo: Server;
    let url: string;
    let token: string;
    const tls = skip ? undefined : makeTls();
    before(async () => {
      assert.ok(tls);
      const backend = await startKubelab(await buildGoProgram('interop/kubelab'));
      if (through === 'nginx') {
        cluster = await startCluster({ gitlab: {}, agents: [], urlPathPrefix: '/', backend });
        nginx = await startNginx(cluster.server.endpoints, tls);
        const kasAddress = `wss://localhost:${nginx.endpoint.port}/-/kubernetes-agent/`;
        await cluster.connectAgent(1, { kasAddress, ca: tls.ca });
        url = `${nginx.url}/-/kubernetes-agent/k8s-proxy`;
        token = 'ci:1:job-agent';
      } else {
        cluster = await startCluster({ tls, backend });
        url = `https://localhost:${cluster.server.endpoints.kubernetesApi.port}/k8s-proxy`;
        token = 'pat:1:alice-pat';
      }
      echo = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => {});
        socket.pipe(socket);
      }).listen(0, '127.0.0.1');
      await once(echo, 'listening');
    });
    after(async () => {
      echo.close();
      await cluster.stop(); // the agent before its way is cut (test/support/agent/hang_up.ts)
      await nginx?.close();
    });

    for (const [protocol, env] of Object.entries(protocols))
      describe(protocol, () => {
        let kubectl: Kubectl;
        before(() => {
          assert.ok(tls);
          kubectl = kubectlFor(cluster.server.places.folder, url, tls.ca, token, env);
        });

        test('exec', async () => {
          const result = await kubectl.run(
            ['exec', '-i', 'web', '--', 'sh', '-c', 'cat; echo err >&2; exit 5'],
            'in\n',
          );
          assert.deepEqual([result.status, result.stdout], [5, 'in\n'], result.stderr);
          assert.match(result.stderr, /^err\n/);
          const much = await kubectl.run(['exec', 'web', '--', 'sh', '-c', 'head -c 5000000 /dev/zero | tr "\\0" x']);
          assert.equal(much.stdout.length, 5_000_000);
        });

        test('attach', async () => {
          const result = await kubectl.run(['attach', '-i', 'web'], 'hello\n');
          assert.match(result.stdout, /main got hello/, result.stderr);
        });

        test('port-forward', async () => {
          const local = await freePort();
          const forward = kubectl.start([
            'port-forward',
            'pod/web',
            `${local}:${(echo.address() as AddressInfo).port}`,
          ]);
          await eventually('the forwarded port', () => /Forwarding from 127\.0\.0\.1/.test(forward.output()));
          const place = { network: 'tcp', host: '127.0.0.1', port: local, path: '', ca: undefined } as const;
          const roundTrip = async (bytes: Buffer) => {
            const socket = await dial(place);
            const back: Buffer[] = [];
            let received = 0;
            const all = new Promise<void>((resolve) => {
              socket.on('data', (chunk: Buffer) => {
                back.push(chunk);
                received += chunk.length;
                if (received >= bytes.length) resolve();
              });
            });
            socket.write(bytes);
            await within('the bytes back', 20_000, all);
            socket.destroy();
            return Buffer.concat(back).equals(bytes);
          };
          const sizes = [1, 1000, 1_000_000, 3_000_000];
          assert.deepEqual(await Promise.all(sizes.map((size) => roundTrip(randomBytes(size)))), [
            true,
            true,
            true,
            true,
          ]);
          await forward.end();
        });

        test('nothing is left open', async () => {
          await eventually('the end of all requests', async () => (await cluster.backend.active()) === 0, 20_000);
        });
      });
  });
}
