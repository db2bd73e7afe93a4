import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { readBody } from '../../../src/gitlab/body.ts';
import { Http1Transport } from '../../../src/gitlab/http1/transport.ts';
import type { HttpRequest } from '../../../src/gitlab/transport.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { patience } from './setup.ts';

const GET: HttpRequest = {
  method: 'GET',
  target: '/a?b=c',
  headers: { 'X-One': '1', 'X-Two': ['2', '3'] },
  body: undefined,
};
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A server that answers the nth request of all with the nth answer, a function in place of one; and a transport towards it. */
async function setUp(t: TestContext, answers: readonly (string | ((socket: Socket) => void))[]) {
  const sockets: Socket[] = [];
  const requests: string[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const answer = answers[requests.length];
      requests.push(bytes.toString('latin1'));
      if (typeof answer === 'function') answer(socket);
      else socket.write(answer ?? OK);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const clock = new FakeClock();
  const origin = new URL(`http://127.0.0.1:${port}`);
  const secureContext = createSecureContext();
  const transport = new Http1Transport({ origin, proxy: undefined, secureContext, userAgent: 'test', clock });
  t.after(() => {
    transport.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const send = (request = GET, signal = patience().signal) => transport.send(request, signal);
  /** The body of one answer. */
  const ask = async (request = GET) => (await readBody(await send(request), 1 << 20, clock)).toString();
  return { transport, clock, sockets, requests, send, ask, host: origin.host };
}

test('a request as it goes onto the wire', async (t) => {
  const { ask, requests, host } = await setUp(t, []);
  await ask();
  await ask({ ...GET, method: 'POST', headers: { 'Content-Length': '2' }, body: Buffer.from('ü') });
  assert.deepEqual(requests, [
    `GET /a?b=c HTTP/1.1\r\nHost: ${host}\r\nX-One: 1\r\nX-Two: 2\r\nX-Two: 3\r\nConnection: keep-alive\r\n\r\n`,
    `POST /a?b=c HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n\xc3\xbc`,
  ]);
});

test('calls share a connection as long as both sides keep it', async (t) => {
  const closing = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
  const untilClose = (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nok');
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n';
  const { ask, sockets, clock } = await setUp(t, [OK, chunked, closing, untilClose, OK]);
  const open: number[] = [];
  for (let i = 0; i < 5; i++) {
    assert.equal(await ask(), 'ok');
    open.push(sockets.length);
  }
  assert.deepEqual(open, [1, 1, 1, 2, 3]);
  assert.equal(clock.pendingTimers, 1); // that of the one that is kept
});

test('a connection that nobody uses ends after 90 s, or when GitLab says so', async (t) => {
  const { ask, sockets, clock } = await setUp(t, [OK, 'HTTP/1.1 204 No\r\nKeep-Alive: timeout=5, max=10\r\n\r\n', OK]);
  await ask();
  clock.advance(89_999);
  await ask();
  assert.equal(sockets.length, 1);
  clock.advance(3999);
  assert.equal(clock.pendingTimers, 1);
  clock.advance(1);
  await once(sockets[0] as Socket, 'close');
  await ask();
  assert.equal(sockets.length, 2);
});

test('a connection on which something comes unasked is not used any more', async (t) => {
  const { ask, sockets } = await setUp(t, []);
  await ask();
  sockets[0]?.write(OK);
  await once(sockets[0] as Socket, 'close');
  assert.equal(await ask(), 'ok');
  assert.equal(sockets.length, 2);
});

test('a body that comes later is a stream, and holds the sender up when nobody reads it', async (t) => {
  const size = 64 << 20;
  let stalled = false;
  const { send, sockets, ask } = await setUp(t, [
    (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      setTimeout(() => {
        socket.write(Buffer.alloc(size));
        stalled = socket.writableNeedDrain;
      }, 20);
    },
  ]);
  const answer = await send();
  const body = answer.body as Readable;
  await sleep(300);
  assert.ok(stalled && (sockets[0]?.writableLength ?? 0) > size / 4, 'all of it was taken');
  let read = 0;
  for await (const piece of body) read += piece.length;
  assert.equal(read, size);
  assert.equal(await ask(), 'ok');
  assert.equal(sockets.length, 1, 'the connection is used again');
});

test('a body that nobody wants any more ends its connection, and gives its place to others', async (t) => {
  const half = (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
  const { send, ask, sockets } = await setUp(
    t,
    Array.from({ length: 50 }, () => half),
  );
  const answers = await Promise.all(Array.from({ length: 50 }, () => send()));
  for (const { body } of answers) (body as Readable).destroy();
  assert.equal(await ask(), 'ok');
  assert.equal(sockets.length, 51);
});

test('what is no GET is not repeated when a kept connection ends, and a GET is not when its answer had begun', async (t) => {
  const { ask, requests } = await setUp(t, [
    OK,
    (socket) => socket.destroy(),
    OK,
    (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Len'),
  ]);
  await ask();
  await assert.rejects(ask({ ...GET, method: 'POST' }), { name: 'TransportError', retryable: true });
  await ask();
  await assert.rejects(ask(), { name: 'TransportError', message: /the connection was closed before the answer$/ });
  assert.equal(requests.length, 4);
});

test('an answer that is none says so', async (t) => {
  const { ask } = await setUp(t, ['220 smtp.example ESMTP\r\n\r\n']);
  await assert.rejects(ask(), {
    name: 'TransportError',
    message: /\/a\?b=x: the answer does not begin as one of HTTP\/1\.1$/,
  });
});

test('the end of the client ends calls and connections, also those that are being opened', async (t) => {
  const { transport, send, ask, sockets, clock } = await setUp(t, [OK, () => {}]);
  await ask();
  const waiting = assert.rejects(send(), { name: 'TransportError' });
  const opening = assert.rejects(send(), { name: 'TransportError' });
  transport.close();
  await Promise.all([waiting, opening]);
  await Promise.all(sockets.map((socket) => socket.destroyed || once(socket, 'close')));
  assert.equal(clock.pendingTimers, 0);
});

test('a caller who leaves while a connection is being opened leaves it to the next one', async (t) => {
  const { send, ask, sockets } = await setUp(t, []);
  const controller = new AbortController();
  const left = assert.rejects(send(GET, controller.signal), { message: 'gone' });
  await Promise.resolve();
  controller.abort(new Error('gone'));
  await left;
  while (sockets.length === 0) await sleep(1);
  await sleep(20);
  assert.equal(await ask(), 'ok');
  assert.equal(sockets.length, 1);
});
