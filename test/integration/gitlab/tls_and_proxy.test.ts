import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startGitLab } from '../../support/gitlab/gitlab.ts';
import { openClient, patience } from './setup.ts';

const fixtures = fileURLToPath(new URL('fixtures/', import.meta.url));
const CA_FILE = join(fixtures, 'ca.pem');
const tls = {
  cert: readFileSync(join(fixtures, 'gitlab.pem'), 'utf8'),
  key: readFileSync(join(fixtures, 'gitlab.key'), 'utf8'),
};

async function startTlsGitLab(t: TestContext) {
  const gitlab = await startGitLab({ tls });
  t.after(() => gitlab.close());
  return gitlab;
}

test('a certificate of the CA in gitlab.ca_certificate_file is trusted', async (t) => {
  const gitlab = await startTlsGitLab(t);
  const client = openClient(t, gitlab.url, { secret: gitlab.secret, caCertificateFile: CA_FILE });
  assert.equal((await client.agentInfo('agent-token-1', patience())).agentId, 1n);
});

test('a certificate of a CA in SSL_CERT_FILE or in the second directory of SSL_CERT_DIR is trusted', async (t) => {
  const gitlab = await startTlsGitLab(t);
  const directory = mkdtempSync(join(tmpdir(), 'roots-'));
  t.after(() => rmSync(directory, { recursive: true }));
  cpSync(CA_FILE, join(directory, 'mine.crt'));
  for (const env of [{ SSL_CERT_FILE: CA_FILE }, { SSL_CERT_DIR: `/nowhere:${directory}` }]) {
    const client = openClient(t, gitlab.url, { secret: gitlab.secret, env });
    assert.equal((await client.agentInfo('agent-token-1', patience())).agentId, 1n);
  }
});

test('a certificate of nobody known is refused, with the settings that cure it', async (t) => {
  const gitlab = await startTlsGitLab(t);
  const client = openClient(t, gitlab.url, { secret: gitlab.secret });
  await assert.rejects(client.allowedAgents('job-ci', patience()), {
    name: 'TransportError',
    retryable: false,
    hint: /gitlab\.ca_certificate_file.*SSL_CERT_DIR/,
  });
  assert.equal(gitlab.requests.length, 0);
});

test('a certificate for another name is refused', async (t) => {
  const gitlab = await startTlsGitLab(t);
  const address = gitlab.url.replace('127.0.0.1', 'localhost');
  const client = openClient(t, address, { secret: gitlab.secret, caCertificateFile: CA_FILE });
  await assert.rejects(client.agentInfo('agent-token-1', patience()), { hint: /gitlab\.address/ });
});

test('a file without certificate is refused at once', (t) => {
  assert.throws(() => openClient(t, 'https://gitlab.example', { caCertificateFile: join(fixtures, 'gitlab.key') }), {
    message: /gitlab\.key: no PEM certificate in it$/,
  });
});

interface FakeProxy {
  readonly url: string;
  readonly asked: readonly { readonly line: string; readonly authorization: string | undefined }[];
}

/** A proxy that takes everybody to the port that was asked for, on this machine; with `status` it refuses. */
async function startProxy(t: TestContext, status = 200): Promise<FakeProxy> {
  const asked: { line: string; authorization: string | undefined }[] = [];
  const note = (request: IncomingMessage) => {
    asked.push({ line: `${request.method} ${request.url}`, authorization: request.headers['proxy-authorization'] });
  };
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    note(request);
    response.writeHead(401, { 'content-type': 'application/json' }).end('{}');
  });
  server.on('connection', (socket) => sockets.add(socket));
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    note(request);
    socket.on('error', () => {});
    if (status !== 200) {
      socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
      return;
    }
    const target = connect(Number(new URL(`http://${request.url}`).port), '127.0.0.1');
    sockets.add(target);
    target.on('error', () => socket.destroy());
    target.once('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(target).pipe(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://us%20er:pass@127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const AUTHORIZATION = `Basic ${Buffer.from('us er:pass').toString('base64')}`;

test('https goes through the proxy of the environment, in a tunnel', async (t) => {
  const gitlab = await startTlsGitLab(t);
  const proxy = await startProxy(t);
  const { port } = new URL(gitlab.url);
  const client = openClient(t, `https://gitlab.example:${port}`, {
    secret: gitlab.secret,
    caCertificateFile: CA_FILE,
    env: { HTTPS_PROXY: proxy.url },
  });
  assert.equal((await client.agentInfo('agent-token-1', patience())).agentId, 1n);
  assert.equal((await client.agentInfo('agent-token-2', patience())).agentId, 2n);
  assert.deepEqual(proxy.asked, [{ line: `CONNECT gitlab.example:${port}`, authorization: AUTHORIZATION }]);
  assert.equal(gitlab.requests[0]?.headers['proxy-authorization'], undefined);
});

test('a proxy that refuses is named', async (t) => {
  const proxy = await startProxy(t, 407);
  const client = openClient(t, 'https://gitlab.example', { env: { https_proxy: proxy.url } });
  await assert.rejects(client.agentInfo('agent-token-1', patience()), {
    message: /^GET https:\/\/gitlab\.example\/.*: the proxy answered CONNECT with 407$/,
  });
});

test('http goes to the proxy itself', async (t) => {
  const proxy = await startProxy(t);
  const client = openClient(t, 'http://gitlab.example/gitlab', { env: { HTTP_PROXY: proxy.url } });
  await assert.rejects(client.agentInfo('agent-token-1', patience()), { name: 'GitLabError', status: 401 });
  assert.deepEqual(proxy.asked, [
    {
      line: 'GET http://gitlab.example/gitlab/api/v4/internal/agents/agentk/agent_info',
      authorization: AUTHORIZATION,
    },
  ]);
});

test('NO_PROXY is reached directly', async (t) => {
  const proxy = await startProxy(t);
  const client = openClient(t, 'http://gitlab.invalid', { env: { HTTP_PROXY: proxy.url, NO_PROXY: '.invalid' } });
  await assert.rejects(client.agentInfo('agent-token-1', patience()), { name: 'TransportError' });
  assert.deepEqual(proxy.asked, []);
});
