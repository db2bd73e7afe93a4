// The main job: the real kubectl, with and without a real nginx in between, on TCP and on UNIX sockets.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { type Forwarder, startForwarder } from '../support/forwarder.ts';
import { type Kubectl, kubectlFor, withoutKubectl } from '../support/kubectl.ts';
import { type FakeKubernetes, startKubernetes } from '../support/kubernetes/kubernetes.ts';
import { type Nginx, nginxProgram, startNginx } from '../support/nginx.ts';
import { makeTls } from '../support/tls.ts';
import { eventually } from '../support/wait.ts';

const withoutNginx = nginxProgram() === undefined ? 'no nginx on this machine' : false;
for (const reason of [withoutKubectl, withoutNginx])
  if (reason) process.stderr.write(`SKIPPED: kubectl through the server: ${reason}\n`);

interface Way {
  readonly name: string;
  readonly network: 'tcp' | 'unix';
  /** How nginx passes the agent on; undefined: no nginx. */
  readonly nginx?: 'wss' | 'grpcs';
}

const ways: readonly Way[] = [
  { name: 'directly, on TCP', network: 'tcp' },
  { name: 'directly, on UNIX sockets', network: 'unix' },
  { name: 'through nginx, on TCP', network: 'tcp', nginx: 'wss' },
  { name: 'through nginx, on UNIX sockets', network: 'unix', nginx: 'wss' },
  { name: 'through nginx, the agent with grpcs', network: 'tcp', nginx: 'grpcs' },
];

for (const way of ways)
  describe(`kubectl ${way.name}`, { skip: withoutKubectl || (way.nginx !== undefined && withoutNginx) }, () => {
    const tls = withoutKubectl ? undefined : makeTls();
    let kubernetes: FakeKubernetes;
    let cluster: Cluster<FakeKubernetes>;
    let kubectl: Kubectl;
    let nginx: Nginx | undefined;
    let link: Forwarder | undefined;

    before(async () => {
      assert.ok(tls);
      kubernetes = await startKubernetes();
      const { network } = way;
      if (way.nginx === undefined) {
        cluster = await startCluster({ network, tls, backend: kubernetes });
        link = await startForwarder(cluster.server.endpoints.kubernetesApi);
        kubectl = kubectlFor(
          cluster.server.places.folder,
          `https://localhost:${link.port}/k8s-proxy`,
          tls.ca,
          'pat:1:alice-pat',
        );
      } else {
        cluster = await startCluster({ network, gitlab: {}, agents: [], urlPathPrefix: '/', backend: kubernetes });
        nginx = await startNginx(cluster.server.endpoints, tls);
        const at = `${way.nginx}://localhost:${nginx.endpoint.port}`;
        await cluster.connectAgent(1, {
          kasAddress: way.nginx === 'wss' ? `${at}/-/kubernetes-agent/` : at,
          ca: tls.ca,
        });
        const server = `${nginx.url}/-/kubernetes-agent/k8s-proxy`;
        kubectl = kubectlFor(cluster.server.places.folder, server, tls.ca, 'ci:1:job-agent');
      }
    });
    after(async () => {
      link?.close();
      await cluster.stop(); // the agent before its way is cut (test/support/agent/hang_up.ts)
      await nginx?.close();
    });

    const file = (name: string) => join(cluster.server.places.folder, name);

    test('get', async () => {
      const pods = await kubectl.run(['get', 'pods']);
      assert.equal(pods.status, 0, pods.stderr);
      assert.match(pods.stdout, /^NAME +READY +STATUS.*\n(db|web) +1\/1 +Running/);
      const missing = await kubectl.run(['get', 'pod', 'nobody']);
      assert.equal(missing.status, 1);
      assert.match(missing.stderr, /NotFound/);
    });

    test('get -w shows what happens when it happens', async () => {
      const watch = kubectl.start(['get', 'pods', '-w']);
      await eventually('the list', () => /web/.test(watch.output()));
      kubernetes.addPod('late');
      await eventually('the event', () => /\nlate +1\/1 +Running/.test(watch.output()));
      kubernetes.remove('pods', 'default', 'late');
      await watch.end();
      const open = () => kubernetes.requests.filter((r) => r.open && r.target.includes('watch='));
      await eventually('the end of the watch at the cluster', () => open().length === 0);
    });

    test('apply creates, changes and says so', async () => {
      const manifest = (value: string) =>
        JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { value } });
      const apply = ['apply', '--validate=false', '-f', '-'];
      assert.match((await kubectl.run(apply, manifest('one'))).stdout, /configmap\/applied created/);
      const changed = await kubectl.run(apply, manifest('two'));
      assert.match(changed.stdout, /configmap\/applied configured/, changed.stderr);
      assert.equal((await kubectl.run(['get', 'configmap', 'applied', '-o', 'jsonpath={.data.value}'])).stdout, 'two');
      assert.match((await kubectl.run(['delete', 'configmap', 'applied', '--wait=false'])).stdout, /deleted/);
    });

    test('exec: output, input, exit status', async () => {
      const hello = await kubectl.run(['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3']);
      assert.equal(hello.stdout, 'out\n');
      assert.match(hello.stderr, /^err\n/);
      assert.equal(hello.status, 3);
      const upper = await kubectl.run(['exec', '-i', 'web', '--', 'tr', 'a-z', 'A-Z'], 'some input\n');
      assert.deepEqual([upper.status, upper.stdout], [0, 'SOME INPUT\n'], upper.stderr);
      const much = await kubectl.run(['exec', 'web', '--', 'sh', '-c', 'head -c 5000000 /dev/zero | tr "\\0" x']);
      assert.equal(much.stdout.length, 5_000_000);
    });

    test('cp there and back', async () => {
      const content = randomBytes(2_000_000);
      writeFileSync(file('up'), content);
      const up = await kubectl.run(['cp', file('up'), 'web:copied']);
      assert.equal(up.status, 0, up.stderr);
      assert.ok(readFileSync(join(kubernetes.folder, 'web', 'copied')).equals(content));
      const down = await kubectl.run(['cp', 'web:copied', file('down')]);
      assert.equal(down.status, 0, down.stderr);
      assert.ok(readFileSync(file('down')).equals(content));
    });

    test('logs -f follows', async () => {
      const logs = kubectl.start(['logs', '-f', 'web']);
      await eventually('the log so far', () => /first line/.test(logs.output()));
      const line = `line at ${Date.now()}`;
      kubernetes.say(line);
      await eventually('the new line', () => logs.output().includes(line));
      await logs.end();
    });

    test('nothing is left open', async () => {
      await eventually('the end of all requests', () => kubernetes.requests.every((r) => !r.open), 15_000);
    });
  });
