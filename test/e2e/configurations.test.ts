// The files that administrators have: as the Linux package and as the Helm chart write them.
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { dial } from '../support/endpoint.ts';
import { startGitLab } from '../support/gitlab/gitlab.ts';
import { ask } from '../support/http_client.ts';
import type { Places } from '../support/kas_config.ts';
import { readiness, runKas, startServer } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

const port = (places: Places, name: keyof Places['endpoints']) => places.endpoints[name].port;

function omnibus(places: Places, gitlab: string): string {
  return `---
agent:
  listen:
    address: localhost:${port(places, 'agent')}
    network: tcp
    websocket: true
    certificate_file:
    key_file:
  configuration:
    poll_period: 300s
  kubernetes_api:
    listen:
      address: localhost:${port(places, 'kubernetesApi')}
      certificate_file:
      key_file:
    url_path_prefix: "/"
    websocket_token_secret_file: "${places.websocketTokenSecretFile}"
  info_cache_ttl: 300s
  info_cache_error_ttl: 60s
gitlab:
  address: ${gitlab}
  external_url: https://gitlab.example.com
  authentication_secret_file: "${places.apiSecretFile}"
observability:
  listen:
    address: localhost:${port(places, 'observability')}
    network: tcp
  usage_reporting_period: 60s
  sentry:
    dsn:
    environment:
  logging:
    level: info
    grpc_level: error
redis:
  network: unix
  tls:
    enabled: false
    ca_certificate_file:
    certificate_file:
    key_file:
  password_file:
  server:
    address: "${places.folder}/redis.socket"
api:
  listen:
    network: tcp
    address: localhost:${port(places, 'api')}
    authentication_secret_file: "${places.apiSecretFile}"
    certificate_file:
    key_file:
private_api:
  listen:
    network: tcp
    address: localhost:${port(places, 'privateApi')}
    authentication_secret_file: "${places.privateApiSecretFile}"
    certificate_file:
    key_file:
workspaces:
  enabled: false
config:
`;
}

function chart(places: Places, gitlab: string): string {
  return `agent:
  listen:
    address: :${port(places, 'agent')}
    websocket: true
  kubernetes_api:
    listen:
      address: :${port(places, 'kubernetesApi')}
    url_path_prefix: /k8s-proxy
    websocket_token_secret_file: ${places.websocketTokenSecretFile}
gitlab:
  address: ${gitlab}
  external_url: https://gitlab.example.com
  authentication_secret_file: ${places.apiSecretFile}
observability:
  listen:
    address: :${port(places, 'observability')}
  liveness_probe:
    url_path: /liveness
  readiness_probe:
    url_path: /readiness
redis:
  password_file: ${places.apiSecretFile}
  database_index: 0
  server:
    address: gitlab-redis-master.default.svc:6379
api:
  listen:
    address: :${port(places, 'api')}
    authentication_secret_file: ${places.apiSecretFile}
private_api:
  listen:
    address: :${port(places, 'privateApi')}
    authentication_secret_file: ${places.privateApiSecretFile}
    ca_certificate_file: /etc/ssl/certs/ca-certificates.crt
workspaces:
  enabled: true
  listen:
    network: tcp
    address: :8160
    listen_grace_period: 1s
    shutdown_grace_period: 300s
something_of_next_year:
  enabled: true
`;
}

test('the Linux package’s file starts the server, and its users are served without a prefix', async () => {
  const gitlab = await startGitLab();
  const server = await startServer({ gitlab, yaml: (places) => omnibus(places, gitlab.url) });
  try {
    await server.waitForLog('about Redis', ({ msg }) => msg === 'Redis is not there, going on without it');
    const refused = await ask(server.endpoints.kubernetesApi, { path: '/api/v1/pods' });
    assert.equal(refused.status, 401);
    for (const path of ['/liveness', '/readiness'])
      assert.equal((await ask(server.endpoints.observability, { path })).status, 200, path);
    const six = { ...server.endpoints.agent, host: '::1' };
    assert.equal((await ask(six, { path: '/' })).status, 426, 'localhost is both families');
    assert.equal((await ask(server.endpoints.agent, { path: '/' })).status, 426);
    for (const api of [server.endpoints.api, server.endpoints.privateApi]) (await dial(api)).destroy();
  } finally {
    await server.stop(15_000);
    await gitlab.close();
  }
});

test('what the file does not name stays closed', async () => {
  const server = await startServer();
  try {
    for (const api of [server.endpoints.api, server.endpoints.privateApi])
      await assert.rejects(dial(api), { code: 'ECONNREFUSED' });
  } finally {
    await server.stop();
  }
});

test('the Helm chart’s file starts the server; keys it does not know only warn', async () => {
  const gitlab = await startGitLab();
  const env = { OWN_PRIVATE_API_HOST: 'gitlab-kas.default.svc' };
  const server = await startServer({ gitlab, env, yaml: (places) => chart(places, gitlab.url) });
  try {
    await server.waitForLog(
      'about the key',
      (line) => line.level === 'warn' && /something_of_next_year/.test(JSON.stringify(line)),
    );
    assert.equal((await ask(server.endpoints.kubernetesApi, { path: '/k8s-proxy/api' })).status, 401);
    assert.equal((await ask(server.endpoints.kubernetesApi, { path: '/api' })).status, 400);
  } finally {
    await server.stop(15_000);
    await gitlab.close();
  }
});

test('what config.command prints is laid over the file', async () => {
  const gitlab = await startGitLab();
  let script = '';
  const server = await startServer({
    gitlab,
    yaml: (places) => {
      script = join(places.folder, 'more-config');
      writeFileSync(
        script,
        `#!/bin/sh\n[ "$1" = kas ] || exit 3\necho 'agent: { kubernetes_api: { url_path_prefix: /from-command/ } }'\n`,
        { mode: 0o755 },
      );
      return omnibus(places, gitlab.url).replace(/^config:$/m, `config: { command: "${script} kas" }`);
    },
  });
  try {
    const answer = await ask(server.endpoints.kubernetesApi, { path: '/from-command/api' });
    assert.equal(answer.status, 401, answer.text);
    assert.equal((await ask(server.endpoints.kubernetesApi, { path: '/api' })).status, 400);
  } finally {
    await server.stop(15_000);
    await gitlab.close();
  }
});

for (const gitlab of [undefined, {}])
  test(`everything on UNIX sockets, ${gitlab === undefined ? 'standalone' : 'with GitLab'}`, async () => {
    const cluster = await startCluster({ network: 'unix', ...(gitlab && { gitlab }), backend: await startBackend() });
    const { agent, kubernetesApi } = cluster.server.endpoints;
    assert.equal((await cluster.ask({ path: '/x' })).status, 404);
    for (const { path } of [agent, kubernetesApi]) {
      const { mode } = statSync(path);
      assert.equal(mode & 0o660, 0o660, 'a web server of the same group may connect');
      assert.equal(mode & 0o007, 0, 'others may not');
    }
    await cluster.stop();
    assert.throws(() => statSync(agent.path), 'the socket is removed at the end');
  });

test('a stale socket is replaced', async () => {
  const first = await startServer({ network: 'unix' });
  first.signal('SIGKILL');
  await first.exited;
  assert.ok(statSync(first.endpoints.agent.path).isSocket());
  const second = runKas(['--configuration-file', first.configFile]);
  try {
    await eventually('readiness', async () => (await readiness(first.endpoints)) === 200);
    assert.equal((await ask(first.endpoints.agent, { path: '/' })).status, 426);
  } finally {
    second.kill('SIGKILL');
    await first.kill();
  }
});
