// What README.md says one can do, done.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { kubeconfig, startAgentProcess } from '../support/agent_process.ts';
import { ask } from '../support/http_client.ts';
import { startKubernetes } from '../support/kubernetes/kubernetes.ts';
import { root } from '../support/launch.ts';
import { runToEnd, startServer } from '../support/server.ts';

const readme = readFileSync(join(root, 'README.md'), 'utf8');

function standaloneExample(): string {
  const section = /^## Without GitLab\n([\s\S]*?)^## /m.exec(readme)?.[1] ?? '';
  return /```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? assert.fail('README.md has no example of a configuration');
}

test('the example without GitLab serves an agent and a user', async (t) => {
  const kubernetes = await startKubernetes();
  t.after(() => kubernetes.close());
  const server = await startServer({
    yaml: ({ folder, endpoints }) => {
      for (const name of ['demo', 'alice']) writeFileSync(join(folder, `${name}.token`), `token-of-${name}\n`);
      // The ports of the example may be in use here, and the end need not wait for a load balancer.
      return standaloneExample()
        .replace('127.0.0.1:8150', `127.0.0.1:${endpoints.agent.port}\n    listen_grace_period: 0.05s`)
        .replace('127.0.0.1:8154', `127.0.0.1:${endpoints.kubernetesApi.port}\n      listen_grace_period: 0.05s`)
        .replace('127.0.0.1:8151', `127.0.0.1:${endpoints.observability.port}`);
    },
  });
  t.after(() => server.kill());
  const agent = await startAgentProcess({
    program: process.env.AGENTK ?? join(root, 'test', 'support', 'bin', 'agentk'),
    kasAddress: `ws://127.0.0.1:${server.endpoints.agent.port}`,
    token: 'token-of-demo',
    kubeconfig: kubeconfig(kubernetes.url, {}),
  });
  t.after(() => agent.close());
  const headers = { authorization: 'Bearer pat:1:token-of-alice' };
  const namespaces = await ask(server.endpoints.kubernetesApi, { path: '/api/v1/namespaces', headers });
  assert.equal(namespaces.status, 200, namespaces.text);
  assert.match(namespaces.text, /"kube-system"/);
  assert.equal((await ask(server.endpoints.observability, { path: '/metrics' })).status, 200);
  await agent.close();
  await server.stop();
});

test('check-config says what the example of an error says', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'readme-'));
  try {
    const file = join(folder, 'gitlab-kas-config.yml');
    writeFileSync(file, 'agent:\n  listen:\n    network: tpc\n');
    const checked = await runToEnd(['check-config', file]);
    assert.equal(checked.status, 1);
    const line = /^ +gitlab-kas-config\.yml:3:14: (.*)$/m.exec(readme)?.[1] ?? assert.fail('no example of an error');
    assert.ok(checked.stderr.includes(`${file}:3:14: ${line}\n`), checked.stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
