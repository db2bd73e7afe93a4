// docs/operations.md: what users, agents and what stands between them and the server get wrong, and how its log tells.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { startBackend } from '../../support/backend.ts';
import { startCluster } from '../../support/cluster.ts';
import { grpcConnection } from '../../support/grpc_client.ts';
import { ask } from '../../support/http_client.ts';
import { logs, shows, trouble } from '../../support/operations_page.ts';
import { type ServerOptions, startServer } from '../../support/server.ts';
import { makeTls } from '../../support/tls.ts';
import { eventually } from '../../support/wait.ts';

async function withServer(
  options: ServerOptions,
  use: (server: Awaited<ReturnType<typeof startServer>>) => Promise<void>,
) {
  const server = await startServer(options);
  try {
    await use(server);
  } finally {
    await server.kill();
  }
}

trouble('kubectl: You must be logged in to the server', async (shown) => {
  await withServer({}, async (server) => {
    const answer = await ask(server.endpoints.kubernetesApi, { path: '/k8s-proxy/api' });
    assert.equal(answer.status, 401);
    shows(JSON.parse(answer.text).message, shown);
    await logs(server, shown);
  });
});

trouble('GitLab Agent Server: Unauthorized', async (shown) => {
  await withServer({}, async (server) => {
    const headers = { authorization: 'Bearer pat:1:wrong' };
    const answer = await ask(server.endpoints.kubernetesApi, { path: '/k8s-proxy/api', headers });
    assert.equal(answer.status, 401);
    shows(JSON.parse(answer.text).message, shown);
    await logs(server, shown);
  });
});

trouble('The agent is not connected', async (shown) => {
  await withServer({}, async (server) => {
    const headers = { authorization: 'Bearer pat:1:alice-pat' };
    const answer = await ask(server.endpoints.kubernetesApi, { path: '/k8s-proxy/api', headers });
    assert.equal(answer.status, 502);
    shows(JSON.parse(answer.text).message, shown);
    await logs(server, shown);
  });
});

trouble('The path is not the one that is configured', async (shown) => {
  await withServer({}, async (server) => {
    const answer = await ask(server.endpoints.kubernetesApi, { path: '/api' });
    assert.equal(answer.status, 400);
    shows(JSON.parse(answer.text).message, shown);
    await logs(server, shown);
  });
});

trouble('A browser’s origin is refused', async (shown) => {
  await withServer({}, async (server) => {
    const headers = { origin: 'https://gitlab.internal' };
    const answer = await ask(server.endpoints.kubernetesApi, { path: '/k8s-proxy/api', headers });
    assert.equal(answer.status, 403);
    await logs(server, shown);
  });
});

trouble('A response header does not arrive', async (shown) => {
  const paths = {
    '/x': (_: unknown, response: { setHeader(n: string, v: string): unknown; end(): unknown }) => {
      response.setHeader('X-Custom', '1');
      response.end();
    },
  };
  const cluster = await startCluster({ backend: await startBackend({ paths }) });
  const answer = await cluster.ask({ path: '/x' });
  assert.equal(answer.headers['x-custom'], undefined);
  await logs(cluster.server, shown);
  await cluster.stop();
});

trouble('An agent speaks cleartext to a port with TLS', async (shown) => {
  await withServer({ tls: makeTls() }, async (server) => {
    const socket = connect(server.endpoints.agent.port, server.endpoints.agent.host);
    socket.on('error', () => {});
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    await logs(server, shown);
    await eventually('the answer', () => answer.includes('HTTPS'));
    shows(answer, shown);
    socket.destroy();
  });
});

trouble('An agent speaks TLS to a port without', async (shown) => {
  await withServer({}, async (server) => {
    const { host, port } = server.endpoints.agent;
    const socket = connectTls({ host, port });
    const [error] = (await once(socket, 'error')) as [Error];
    assert.match(error.message, /wrong version number/);
    await logs(server, shown);
  });
});

trouble('An agent does not trust this server’s certificate', async (shown) => {
  await withServer({ tls: makeTls() }, async (server) => {
    const { host, port } = server.endpoints.agent;
    const socket = connectTls({ host, port, servername: 'localhost', ALPNProtocols: ['http/1.1'] });
    const [error] = (await once(socket, 'error')) as [Error];
    assert.match(error.message, /self-signed certificate/);
    await logs(server, shown);
  });
});

trouble('An agent asks for what this server does not have', async (shown) => {
  await withServer({}, async (server) => {
    const agent = await grpcConnection(server.endpoints.agent);
    const call = agent.call('/gitlab.agent.managed_resources.rpc.Provisioner/EnsureEnvironment');
    const { code, message } = await call.status;
    assert.equal(code, 12);
    shows(message, shown);
    await logs(server, shown);
    agent.close();
  });
});

trouble('An agent connects too often', async (shown) => {
  const config = { agent: { listen: { connections_per_token_per_minute: 1 } } };
  await withServer({ config }, async (server) => {
    for (let i = 0; i < 3; i++) {
      const agent = await grpcConnection(server.endpoints.agent);
      agent.call('/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration', {
        token: 'agent-token-1',
      });
      await new Promise((resolve) => setTimeout(resolve, 100));
      agent.close();
    }
    await logs(server, shown);
  });
});
