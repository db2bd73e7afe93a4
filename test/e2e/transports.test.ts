// Every way to reach the server: ws, wss, grpc, grpcs, on TCP and on UNIX sockets, and what TLS it speaks.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request as httpsRequest } from 'node:https';
import { describe, test } from 'node:test';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
} from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { type Handler, startBackend } from '../support/backend.ts';
import { type Scheme, startCluster } from '../support/cluster.ts';
import { connectOptions, type Endpoint } from '../support/endpoint.ts';
import { type GrpcConnection, grpcConnection, unary } from '../support/grpc_client.ts';
import { rawConnection, rawExchange } from '../support/http1.ts';
import { startServer } from '../support/server.ts';
import { makeTls } from '../support/tls.ts';
import { eventually, within } from '../support/wait.ts';
import { grpcInWebSocket } from '../support/websocket.ts';

const register = async (connection: GrpcConnection) => {
  const path = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register';
  const { status } = await unary(
    connection,
    path,
    RegisterRequestSchema,
    { agentMeta: {}, podId: 1n },
    RegisterResponseSchema,
  );
  return status.code;
};

describe('agents', () => {
  for (const network of ['tcp', 'unix'] as const)
    for (const scheme of ['ws', 'wss', 'grpc', 'grpcs'] as const satisfies readonly Scheme[])
      test(`${scheme} on ${network}`, async () => {
        const tls = scheme === 'wss' || scheme === 'grpcs' ? makeTls() : undefined;
        const paths = { '/fine': (_: unknown, response: { end(s: string): void }) => response.end('fine') };
        const cluster = await startCluster({ network, scheme, tls, backend: await startBackend({ paths }) });
        assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine');
        const many = await Promise.all(Array.from({ length: 30 }, () => cluster.ask({ path: '/fine' })));
        assert.ok(many.every((answer) => answer.text === 'fine'));
        await cluster.stop();
      });

  test('native and WebSocket share the port, also with TLS', async () => {
    for (const tls of [undefined, makeTls()]) {
      const server = await startServer({ tls });
      const native = await grpcConnection(server.endpoints.agent);
      const inWebSocket = await grpcInWebSocket(server.endpoints.agent);
      assert.equal(await register(native), 0);
      assert.equal(await register(inWebSocket), 0);
      native.close();
      inWebSocket.close();
      await server.stop();
    }
  });

  test('websocket: false takes gRPC only', async () => {
    const server = await startServer({ config: { agent: { listen: { websocket: false } } } });
    const native = await grpcConnection(server.endpoints.agent);
    assert.equal(await register(native), 0);
    native.close();
    // An HTTP/1.1 client gets the server's SETTINGS, then the end.
    const answer = await rawExchange(server.endpoints.agent, 'GET / HTTP/1.1\r\nHost: k\r\n\r\n');
    assert.doesNotMatch(answer, /HTTP\/1\.1 (101|2\d\d)/);
    await server.stop();
  });
});

describe('clients of the Kubernetes API', () => {
  // Not among the core tests: Deno can crash when an HTTP/2 client leaves (docs/compatibility.md).
  test('cleartext HTTP/2 is spoken on the same port', async () => {
    const echo: Handler = (request, response) => void request.pipe(response);
    const cluster = await startCluster({ backend: await startBackend({ paths: { '/echo': echo } }) });
    const { host, port } = cluster.server.endpoints.kubernetesApi;
    const session = connectHttp2(`http://${host}:${port}`);
    try {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/k8s-proxy/echo',
        authorization: 'Bearer pat:1:alice-pat',
      });
      stream.end('over h2');
      const status = new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])));
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      assert.equal(await status, 200);
      assert.equal(text, 'over h2');
    } finally {
      session.destroy();
      await cluster.stop();
    }
  });
});

describe('TLS', () => {
  function handshake(endpoint: Endpoint, options: object): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        ...connectOptions(endpoint),
        ca: endpoint.ca ?? '',
        servername: 'localhost',
        ...options,
      });
      socket.once('secureConnect', () => resolve(socket)).once('error', reject);
    });
  }

  test('versions from 1.2 on, modern suites only, ALPN for both protocols', async () => {
    const tls = makeTls();
    const server = await startServer({ tls });
    for (const endpoint of [server.endpoints.agent, server.endpoints.kubernetesApi]) {
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const socket = await handshake(endpoint, { minVersion: version, maxVersion: version });
        assert.equal(socket.getProtocol(), version);
        socket.destroy();
      }
      await assert.rejects(
        handshake(endpoint, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
      );
      for (const cipher of ['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA256'])
        await assert.rejects(handshake(endpoint, { maxVersion: 'TLSv1.2', ciphers: cipher }), cipher);
      for (const [offered, chosen] of [
        [['h2', 'http/1.1'], 'h2'],
        [['http/1.1'], 'http/1.1'],
      ] as const) {
        const socket = await handshake(endpoint, { ALPNProtocols: offered });
        assert.equal(socket.alpnProtocol, chosen);
        socket.destroy();
      }
    }
    const plain = await rawExchange(
      { ...server.endpoints.kubernetesApi, ca: undefined },
      'GET / HTTP/1.1\r\nHost: k\r\n\r\n',
    );
    assert.match(plain, /^(HTTP\/1\.[01] 400 .*)?$/s);
    await server.stop();
  });

  test('new certificate files are used without a restart; a bad pair keeps the old one', async () => {
    const first = makeTls('ec', 'first');
    const server = await startServer({ tls: first });
    const { certificateFile, keyFile, endpoints } = server.places;
    const commonName = async (endpoint: Endpoint): Promise<string> => {
      const socket = await handshake(endpoint, { rejectUnauthorized: false });
      const certificate: PeerCertificate = socket.getPeerCertificate();
      socket.destroy();
      return String(certificate.subject.CN);
    };
    const replace = (path: string, text: string) => {
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    };
    const both = [endpoints.agent, endpoints.kubernetesApi];
    assert.deepEqual(await Promise.all(both.map(commonName)), ['first', 'first']);
    const open = await rawConnection(endpoints.kubernetesApi);
    open.write('GET / HTTP/1.1\r\nHost: k\r\n\r\n');
    await open.readUntil('"code":400}');

    replace(certificateFile, 'no certificate');
    await server.waitForLog(
      'about the bad certificate',
      (line) => line.level !== 'debug' && /certificate/i.test(JSON.stringify(line)),
      40_000,
    );
    assert.deepEqual(await Promise.all(both.map(commonName)), ['first', 'first']);

    const second = makeTls('rsa', 'second');
    replace(keyFile, second.key);
    replace(certificateFile, second.cert);
    await eventually(
      'the new certificate',
      async () => (await Promise.all(both.map(commonName))).every((name) => name === 'second'),
      40_000,
    );
    open.write('GET / HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n');
    assert.match(await open.readToEnd(), /^\nHTTP\/1\.1 400 /, 'connections that are open stay so');
    await server.stop();
  });

  test('kubectl’s HTTP/2 and HTTP/1.1 both work over TLS', async () => {
    const tls = makeTls();
    const cluster = await startCluster({ tls, backend: await startBackend() });
    const { kubernetesApi } = cluster.server.endpoints;
    for (let i = 0; i < 2; i += 1) assert.equal((await cluster.ask({ path: '/x' })).status, 404);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 3; i += 1) {
      const outgoing = httpsRequest({
        ...connectOptions(kubernetesApi),
        ca: tls.ca,
        servername: 'localhost',
        path: '/k8s-proxy/x',
        agent,
        headers: { authorization: 'Bearer pat:1:alice-pat' },
      });
      const answered = once(outgoing, 'response');
      outgoing.end();
      const [response] = (await within('the answer', 5000, answered)) as [{ statusCode: number; resume(): void }];
      response.resume();
      assert.equal(response.statusCode, 404);
    }
    agent.destroy();
    await cluster.stop();
  });
});
