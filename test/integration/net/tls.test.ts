import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { FrontHandlers } from '../../../src/net/front.ts';
import { AppError } from '../../../src/runtime/app_error.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { makeCertificate } from '../../support/certificates.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { rawExchange } from '../../support/http1.ts';
import { recordingLog } from '../../support/recording_log.ts';
import { eventually } from '../../support/wait.ts';
import { echoHandlers, open, openWithWebSocket, temporaryFolder } from './setup.ts';

const ec = makeCertificate('ec', 'first');
const rsa = makeCertificate('rsa', 'second');

function setUp(t: TestContext, certificate = ec) {
  const folder = temporaryFolder(t);
  const tls = {
    certificateFile: folder.write('tls.crt', certificate.cert),
    keyFile: folder.write('tls.key', certificate.key),
  };
  return { folder, listen: { network: 'tcp' as const, address: '127.0.0.1:0', tls } };
}

/** The socket after the handshake, or the error's code. */
function handshake(endpoint: Endpoint, options: ConnectionOptions = {}): Promise<TLSSocket | string> {
  return new Promise((resolve) => {
    const socket = connect({ host: endpoint.host, port: endpoint.port, rejectUnauthorized: false, ...options });
    socket.once('secureConnect', () => resolve(socket));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

async function alpn(endpoint: Endpoint, ALPNProtocols?: string[]): Promise<string | false | null> {
  const socket = await handshake(endpoint, ALPNProtocols && { ALPNProtocols });
  if (typeof socket === 'string') return socket;
  socket.destroy();
  return socket.alpnProtocol;
}

/** What an HTTP/1.1 request on this connection is answered with. */
async function ask(endpoint: Endpoint, options: ConnectionOptions = {}): Promise<string> {
  const socket = await handshake(endpoint, options);
  if (typeof socket === 'string') return socket;
  socket.end('GET /path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer.split('\r\n\r\n')[1] ?? '';
}

async function askHttp2(endpoint: Endpoint, options: ConnectionOptions = {}): Promise<string> {
  const session = connectHttp2(`https://127.0.0.1:${endpoint.port}`, { rejectUnauthorized: false, ...options });
  try {
    let body = '';
    for await (const chunk of session.request({ ':path': '/path' })) body += chunk;
    return body;
  } finally {
    session.destroy();
  }
}

async function openRefused(t: TestContext, handlers: FrontHandlers, more: Parameters<typeof open>[2]): Promise<string> {
  try {
    await open(t, handlers, more);
  } catch (error) {
    assert.ok(error instanceof AppError);
    return error.message;
  }
  throw new Error('it was opened');
}

test('the agent listener negotiates both protocols and refuses names it does not know', async (t) => {
  const { endpoint } = await openWithWebSocket(t, echoHandlers.stream, setUp(t));
  assert.equal(await alpn(endpoint, ['h2']), 'h2');
  assert.equal(await alpn(endpoint, ['http/1.1']), 'http/1.1');
  assert.equal(await alpn(endpoint), false);
  assert.equal(await alpn(endpoint, ['foo']), 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
  assert.equal(await askHttp2(endpoint), 'HTTP/2 GET /path');
  assert.match(await ask(endpoint), /^WebSocket protocol violation/);
});

test('HTTP/2 with prior knowledge works inside TLS without ALPN', async (t) => {
  for (const handlers of [echoHandlers, { stream: echoHandlers.stream }]) {
    const { endpoint } = await open(t, handlers, setUp(t));
    const socket = await handshake(endpoint);
    assert.ok(typeof socket !== 'string');
    const session = connectHttp2('http://a', { createConnection: () => socket });
    let body = '';
    for await (const chunk of session.request({ ':path': '/x' })) body += chunk;
    session.destroy();
    assert.equal(body, 'HTTP/2 GET /x');
  }
});

test('an HTTP listener lets clients in whose ALPN names it does not know', async (t) => {
  const { endpoint } = await open(t, echoHandlers, { ...setUp(t), unknownAlpn: 'ignore' });
  assert.equal(await ask(endpoint, { ALPNProtocols: ['foo'] }), 'HTTP/1.1 GET /path');
  assert.equal(await ask(endpoint), 'HTTP/1.1 GET /path');
  assert.equal(await askHttp2(endpoint), 'HTTP/2 GET /path');
});

test('a listener of HTTP/1.1 alone does not look at ALPN', async (t) => {
  const { endpoint } = await open(t, { request: echoHandlers.request }, setUp(t));
  assert.equal(await alpn(endpoint, ['h2']), false);
  assert.equal(await ask(endpoint, { ALPNProtocols: ['foo'] }), 'HTTP/1.1 GET /path');
});

test('TLS 1.2 and six suites, nothing older', async (t) => {
  const { endpoint } = await open(t, echoHandlers, setUp(t, rsa));
  const seclevel = { ciphers: 'ALL:@SECLEVEL=0' };
  assert.equal(
    await handshake(endpoint, { ...seclevel, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' }),
    'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  );
  const suite = async (ciphers?: string) => {
    const socket = await handshake(endpoint, { maxVersion: 'TLSv1.2', ...(ciphers === undefined ? {} : { ciphers }) });
    if (typeof socket === 'string') return socket;
    const { name } = socket.getCipher();
    socket.destroy();
    return name;
  };
  for (const refused of ['AES128-SHA', 'ECDHE-RSA-AES128-SHA', 'AES128-GCM-SHA256', 'ECDHE-RSA-AES256-SHA384']) {
    assert.match(await suite(refused), /HANDSHAKE_FAILURE$/, refused);
  }
  assert.equal(await suite(), 'ECDHE-RSA-AES128-GCM-SHA256');
  for (const name of ['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-RSA-CHACHA20-POLY1305'])
    assert.equal(await suite(name), name);
});

test('plain HTTP on a TLS port is told so, garbage is not', async (t) => {
  const { endpoint } = await open(t, echoHandlers, setUp(t));
  assert.equal(
    await rawExchange(endpoint, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
    'HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n',
  );
  assert.equal(await rawExchange(endpoint, '\0\0\0garbage'), '');
  const alert = '\x15\x03\x03\0\x02\x02\x16'; // fatal, record_overflow
  assert.equal(await rawExchange(endpoint, '\x16\x03\x01\xff\xffgarbage'.repeat(9000), 2000), alert);
  assert.equal(await ask(endpoint), 'HTTP/1.1 GET /path');
});

test('a client that never begins its handshake is cut', async (t) => {
  const clock = new FakeClock();
  const { endpoint } = await open(t, echoHandlers, { ...setUp(t), clock });
  const socket = connectTcp(endpoint.port, endpoint.host);
  await once(socket, 'connect');
  const closed = once(socket, 'close');
  while (clock.pendingTimers < 2) await new Promise((resolve) => setImmediate(resolve)); // it has been accepted
  clock.advance(20_000);
  await closed;
});

test('a certificate that changes is served to new connections; one that is broken is not, and is reported', async (t) => {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const { folder, listen } = setUp(t);
  const { endpoint } = await open(t, echoHandlers, { listen, clock, log });
  const errors = () => lines.filter(({ level }) => level === 'error');
  const served = async () => {
    const socket = await handshake(endpoint);
    assert.ok(typeof socket !== 'string', String(socket));
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return name;
  };
  assert.equal(await served(), 'first');
  const old = await handshake(endpoint);
  assert.ok(typeof old !== 'string');
  const request = 'GET /old HTTP/1.1\r\nHost: a\r\n\r\n';
  old.write(request);
  await once(old, 'data');

  folder.write('tls.crt', rsa.cert); // with the key of another
  clock.advance(10_000);
  assert.equal(await served(), 'first');
  assert.match(String(errors().at(-1)?.fields.error), /tls\.key: not the key of the certificate in /);
  const reported = errors().length;
  clock.advance(60_000);
  assert.equal(errors().length, reported); // once

  renameSync(folder.write('new.key', rsa.key), folder.path('tls.key'));
  clock.advance(10_000);
  assert.equal(await served(), 'second');

  folder.write('tls.crt', 'no certificate');
  clock.advance(10_000);
  assert.equal(await served(), 'second');
  assert.match(String(errors().at(-1)?.fields.error), /tls\.crt: no PEM certificate in it/);

  old.write(request); // connections outlive their certificate
  assert.match(String((await once(old, 'data'))[0]), /200 OK/);
  old.destroy();
});

test('a certificate that cannot be used keeps the listener from opening, and its file is named', async (t) => {
  const { folder, listen } = setUp(t);
  folder.write('tls.key', rsa.key);
  assert.match(
    await openRefused(t, echoHandlers, { listen }),
    /tls\.key: not the key of the certificate in .*tls\.crt$/,
  );
  folder.write('tls.key', 'nothing');
  assert.match(await openRefused(t, echoHandlers, { listen }), /tls\.key: no PEM private key in it$/);
  const tls = { ...listen.tls, certificateFile: folder.path('missing') };
  assert.match(
    await openRefused(t, echoHandlers, { listen: { ...listen, tls } }),
    /missing: cannot read the certificate: /,
  );
});

test('a client that leaves in the middle of the handshake is let go at once', async (t) => {
  const { log, lines } = recordingLog();
  const { endpoint } = await open(t, echoHandlers, { ...setUp(t), log });
  const failed = () => lines.filter(({ message }) => message === 'TLS handshake failed').length;
  const begun = connectTcp({ host: endpoint.host, port: endpoint.port, allowHalfOpen: true });
  begun.end(Buffer.from('16030100c8', 'hex')); // a record that is never finished
  begun.resume();
  await once(begun, 'close', { signal: AbortSignal.timeout(3000) });
  await eventually('the news', () => failed() === 1);
  assert.equal(await handshake(endpoint, { rejectUnauthorized: true }), 'DEPTH_ZERO_SELF_SIGNED_CERT');
  await eventually('the news of a client that does not like the certificate', () => failed() === 2, 3000);
});
