// docs/operations.md: starting, and finding other nodes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { startAgent } from '../../support/agent/agent.ts';
import { freePort } from '../../support/endpoint.ts';
import { startGitLab } from '../../support/gitlab/gitlab.ts';
import { grpcConnection } from '../../support/grpc_client.ts';
import { ask } from '../../support/http_client.ts';
import { rawConnection } from '../../support/http1.ts';
import { railsJwt } from '../../support/internal_api.ts';
import { logs, shows, trouble } from '../../support/operations_page.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { startServer } from '../../support/server.ts';
import { eventually } from '../../support/wait.ts';

trouble('Other nodes cannot reach this one', async (shown) => {
  const gitlab = await startGitLab();
  const server = await startServer({
    gitlab,
    config: { redis: { server: { address: '192.0.2.1:6379' } } },
    env: { OWN_PRIVATE_API_URL: 'grpc://localhost:8155' },
    ready: false,
  });
  const line = await server.waitForLog(
    'of the warning',
    ({ msg }) => msg.startsWith('Configuration: ') && msg.includes('own URL'),
  );
  assert.equal(line.level, 'warn');
  shows(line.msg, shown);
  await server.kill();
  await gitlab.close();
});

trouble('A node does not reach another one', async (shown) => {
  if (noRedis !== false) throw new Error(noRedis);
  const redis = await startRedis(undefined);
  const gitlab = await startGitLab();
  const config = { redis: { server: { address: redis.address } } };
  const server = await startServer({ gitlab, config });
  // It says that it is where nobody listens.
  const env = { OWN_PRIVATE_API_URL: `grpc://127.0.0.1:${await freePort()}` };
  const other = await startServer({ gitlab, config, env });
  const agent = await startAgent({
    kasAddress: `grpc://127.0.0.1:${other.endpoints.agent.port}`,
    token: 'agent-token-1',
    cluster: { server: 'http://127.0.0.1:9' },
  });
  const ofAgent = { path: '/k8s-proxy/x', headers: { authorization: 'Bearer pat:1:alice-pat' } };
  await eventually('the agent at its node', async () => {
    const answer = await ask(other.endpoints.kubernetesApi, ofAgent);
    return !answer.text.includes('not found');
  });
  const asking = new AbortController();
  const asked = ask(server.endpoints.kubernetesApi, { ...ofAgent, signal: asking.signal });
  asked.catch(() => {});
  await logs(server, shown);
  asking.abort();
  await agent.close();
  await server.kill();
  await other.kill();
  await gitlab.close();
  await redis.stop();
});

trouble('Redis is away', async (shown) => {
  const gitlab = await startGitLab();
  const address = `127.0.0.1:${await freePort()}`;
  const server = await startServer({ gitlab, config: { redis: { server: { address } } } });
  await logs(server, shown);
  const { host, port } = server.endpoints.observability;
  const answer = await fetch(`http://${host}:${port}/readiness`);
  assert.equal(answer.status, 200);
  shows(await answer.text(), shown);
  await server.kill();
  await gitlab.close();
});

trouble('Redis stores nothing', async (shown) => {
  if (noRedis !== false) throw new Error(noRedis);
  const gitlab = await startGitLab();
  const redis = await startRedis(undefined);
  await redis.ask('CONFIG', 'SET', 'maxmemory', '1');
  const server = await startServer({ gitlab, config: { redis: { server: { address: redis.address } } } });
  const agent = await grpcConnection(server.endpoints.agent);
  agent.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect');
  await logs(server, shown);
  const { host, port } = server.endpoints.observability;
  const answer = await fetch(`http://${host}:${port}/readiness`);
  assert.equal(answer.status, 200);
  shows(await answer.text(), shown);
  agent.close();
  await server.kill();
  await gitlab.close();
  await redis.stop();
});

trouble('Redis refuses the password', async (shown) => {
  if (noRedis !== false) throw new Error(noRedis);
  const gitlab = await startGitLab();
  const redis = await startRedis(undefined, { config: ['requirepass one'], password: 'one' });
  const server = await startServer({
    gitlab,
    config: { redis: { server: { address: redis.address }, password: 'other' } },
  });
  await logs(server, shown);
  await server.stop();
  await gitlab.close();
  await redis.stop();
});

trouble('Nodes have different secrets', async (shown) => {
  const gitlab = await startGitLab();
  const server = await startServer({ gitlab });
  const node = await grpcConnection(server.endpoints.privateApi);
  const token = railsJwt(randomBytes(32), { iss: 'gitlab-kas', aud: 'gitlab-kas' });
  const call = node.call('/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest', {
    token: undefined,
    headers: { authorization: `Bearer ${token}`, 'kas-hop-routing-agent-id': '1' },
  });
  assert.equal((await call.status).code, 16);
  await logs(server, shown);
  node.close();
  await server.stop();
  await gitlab.close();
});

trouble('An agent’s WebSocket does not get through', async (shown) => {
  const server = await startServer();
  const proxy = await rawConnection(server.endpoints.agent);
  proxy.write('GET /-/kubernetes-agent/ HTTP/1.1\r\nHost: gitlab.example.com\r\nConnection: close\r\n\r\n');
  shows(await proxy.readUntil('does not contain Upgrade'), shown);
  proxy.close();
  await server.stop();
});

trouble('The log warns of a key of the configuration', async (shown) => {
  const server = await startServer({ config: { agent: { listen: { adress: 'localhost:8150' } } } });
  await logs(server, shown);
  await server.stop();
});

trouble('The server does not start', async (shown) => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  const server = await startServer({ config: { agent: { listen: { address: `127.0.0.1:${port}` } } }, ready: false });
  assert.equal(await server.exited, 1);
  shows(server.stderr().trimEnd().split('\n').at(-1) ?? '', shown);
  other.close();
});
