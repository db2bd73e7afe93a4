// Redis says that an agent is at places that are no nodes, or none that is in order, besides the right one.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { startBackend } from '../../support/backend.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { reportLine, startLoad } from '../../support/load.ts';
import { announceNode, startNodes } from '../../support/nodes.ts';
import { type PlayedCall, playNode } from '../../support/played_node.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { delay } from '../../support/wait.ts';

/** Something that listens; it ends with the test. */
async function something(t: TestContext, server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `grpc://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What has no HTTP/2 of ours: what it does with a connection, and what the log says of it. */
const strangers: Readonly<Record<string, readonly [server: () => Server, error: RegExp]>> = {
  'says nothing': [() => createServer(() => {}), /does not answer/],
  'hangs up': [() => createServer((socket) => socket.end()), /closed before|ECONNRESET/],
  'speaks HTTP/1.1': [() => createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')), /not HTTP\/2/],
  'speaks TLS': [() => createTlsServer(makeCertificate()), /Protocol error|closed before|ECONNRESET|does not answer/],
};

/** What speaks HTTP/2, and answers wrongly. */
const liars: Readonly<Record<string, (call: PlayedCall) => void>> = {
  'knows no such method': (call) => call.refuses(12, 'unknown service'),
  'answers before it has a tunnel': (call) => call.says({ case: 'header', value: { meta: {} } }),
  'says what is no message': (call) => call.saysBytes(Buffer.from('ffffffff', 'hex')),
  'announces a message of four gigabytes': (call) => {
    call.saysBytes(Buffer.of());
    call.stream.write(Buffer.from('00ffffffff', 'hex'));
  },
  'ends at once': (call) => call.ends(),
  'has no status': (call) => call.stream.respond({ ':status': 404, 'content-type': 'text/html' }, { endStream: true }),
};

test('places that are no nodes cost requests nothing', { skip: noRedis, timeout: 60_000 }, async (t) => {
  const redis = await startRedis(t);
  const backend = await startBackend({ paths: { '/hello': (_, response) => response.end('hello\n') } });
  const nodes = await startNodes({ nodes: [{}, {}], redis, backend });
  t.after(() => nodes.stop());
  const urls = new Map<string, string>();
  for (const [what, [server]] of Object.entries(strangers)) urls.set(what, await something(t, server()));
  const called = new Map<string, number>();
  for (const [what, lie] of Object.entries(liars)) {
    const node = await playNode((call) => {
      called.set(what, (called.get(what) ?? 0) + 1);
      lie(call);
    });
    t.after(() => node.close());
    urls.set(what, node.url);
  }
  for (const url of urls.values()) for (const agent of [1, 2]) await announceNode(redis, agent, url);
  await nodes.connectAgent(1, 0);
  const asked = { path: '/k8s-proxy/hello', headers: { authorization: 'Bearer pat:1:alice-pat' } };
  const load = { connections: 4, pauseMs: 5, expected: 'hello\n' };
  const other = nodes.servers[1] ?? assert.fail();
  const running = startLoad(other.endpoints.kubernetesApi, asked, load);
  // Who asks for an agent that is nowhere meets all of them.
  const lost = nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' });
  for (const [what, [, error]] of Object.entries(strangers)) {
    const line = await other.waitForLog(
      `of what ${what}`,
      ({ msg, kas_url: url }) => msg === 'Failed to dial kas' && url === urls.get(what),
    );
    assert.match(String(line.error), error, what);
    assert.ok(String(line.hint).length > 20, what);
  }
  await delay(1000);
  const report = await running.stop();
  t.diagnostic(reportLine(`${urls.size} places that are no nodes`, report));
  assert.ok(report.answered > 20, `${report.answered} requests`);
  assert.deepEqual(report.lost, []);
  for (const what of Object.keys(liars)) assert.ok((called.get(what) ?? 0) > 0, what);
  // A request asks each once, and who waits asks again now and then; the log is not filled with it.
  for (const [what, times] of called) assert.ok(times < report.sent + 300, `${what}: ${times} calls`);
  const errors = other.log.filter(({ level, kas_url: url }) => level === 'error' && url !== undefined);
  assert.ok(errors.length < 60, errors.map(({ msg, error }) => `${msg}: ${error}`).join('\n'));
  await nodes.connectAgent(2, 0);
  assert.equal((await nodes.ask(1, { path: '/hello', token: 'pat:2:alice-pat' })).text, 'hello\n');
  await lost;
});
