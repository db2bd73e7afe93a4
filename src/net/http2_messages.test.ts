import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  data,
  FramePeer,
  headers,
  REQUEST,
  reset,
  settings,
  turn,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Http2Messages } from './http2_messages.ts';

/** One request, as a handler for HTTP/1.1 gets it. */
async function asked(request: Record<string, string> = {}, end = false, clock?: FakeClock) {
  const peer = new FramePeer('server');
  const messages: Http2Messages[] = [];
  const heard: string[] = [];
  peer.onRequest = ({ stream, request }) => {
    const each = new Http2Messages(stream, { ...request }, Object.entries({ ...request }).flat() as string[], clock);
    each.request.on('close', () => heard.push('request closed'));
    each.response.on('finish', () => heard.push('finish'));
    each.response.on('close', () => heard.push('response closed'));
    messages.push(each);
  };
  await peer.greet();
  await peer.send(headers(1, { ...REQUEST, ...request }, end));
  return { peer, heard, ...messages[0]! };
}

test('a request is read as a stream, at its reader’s pace', async () => {
  const { peer, request } = await asked();
  assert.deepEqual([request.method, request.url, request.complete], ['POST', '/a', false]);
  const chunks: Buffer[] = [];
  await peer.send(...Array(6).fill(data(1, Buffer.alloc(16_000, 'x'))));
  assert.ok(request.readableLength <= 96_000);
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = once(request, 'end');
  await peer.send(data(1, 'last', true));
  await ended;
  assert.equal(Buffer.concat(chunks).length, 96_004);
});

test('a request without a body has its end at once', async () => {
  const { request } = await asked({}, true);
  assert.equal(request.complete, true);
  request.resume();
  await once(request, 'end');
});

test('an answer: head, body, trailers; `finish` comes before `close`', async () => {
  const { peer, heard, response } = await asked({}, true);
  response.writeHead(201, ['X-A', '1', 'x-a', '2', 'Connection', 'close', 'constructor', 'c']);
  response.write('body');
  response.addTrailers({ t: 'x' });
  response.end();
  await turn();
  const head = 'Headers 1 :status 201 x-a 1 x-a 2 constructor c';
  assert.deepEqual(await peer.sent(), [head, 'Data 1 4', 'Headers 1 end t x']);
  await turn();
  assert.deepEqual(heard, ['request closed', 'finish', 'response closed']);
});

test('an answer without a body is its head', async () => {
  for (const [method, status] of [
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ] as const) {
    const { peer, response } = await asked({ ':method': method }, true);
    response.writeHead(status, { 'content-length': '5' });
    response.end('hello');
    await turn();
    assert.deepEqual(await peer.sent(), [`Headers 1 end :status ${status} content-length 5`]);
  }
});

test('answers of HTTP have a date, once', async () => {
  const { peer, response } = await asked({}, true, new FakeClock());
  response.writeHead(200, {});
  response.end();
  await turn();
  assert.deepEqual(await peer.sent(), ['Headers 1 end :status 200 date Thu, 01 Jan 2026 00:00:00 GMT']);
});

test('what is no head or no trailers is not sent', async () => {
  const { response } = await asked({}, true);
  for (const bad of ['a\r\nb', 'a\nb', 'a\0', 'ā', '\u010a']) {
    assert.throws(() => response.writeHead(200, { a: bad }), TypeError);
    assert.throws(() => response.writeHead(200, ['a', 'b', 'a', bad]), TypeError);
    assert.throws(() => response.addTrailers({ a: bad }), TypeError);
    assert.throws(() => response.writeHead(200, { [bad]: 'a' }), TypeError);
  }
  assert.throws(() => response.writeHead(200, { ':status': '500' }), TypeError);
  for (const status of [101, 199, 600, Number.NaN]) assert.throws(() => response.writeHead(status, {}), RangeError);
});

test('writing waits for the client’s window', async () => {
  const { peer, response } = await asked({}, true);
  await peer.send(settings([4, 0]));
  response.writeHead(200, {});
  let written = 0;
  response.write(Buffer.alloc(200_000), () => written++);
  await turn();
  assert.equal(written, 0);
  await peer.send(windowUpdate(0, 1 << 20), windowUpdate(1, 1 << 20));
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(written, 1);
});

test('a writer’s buffer is its own again when the write is over', async () => {
  const { peer, response } = await asked({}, true);
  response.writeHead(200, {});
  const buffer = Buffer.from('before');
  response.write(buffer);
  buffer.fill('X');
  response.end();
  await turn();
  assert.equal(peer.frames.find(({ type }) => type === 0)?.payload.toString(), 'before');
});

test('a client that goes ends both, whatever waits, and whichever code it gives', async () => {
  for (const code of [8, 0]) {
    const { peer, heard, response } = await asked({}, code === 0);
    await peer.send(settings([4, 0]));
    response.writeHead(200, {});
    response.write(Buffer.alloc(200_000));
    response.end();
    await peer.send(reset(1, code));
    await turn();
    assert.ok(heard.includes('response closed'), `code ${code}: ${heard}`);
    assert.ok(heard.includes('request closed'));
    assert.equal(peer.connection.openStreams, 0);
  }
});

test('`destroy` resets the stream', async () => {
  for (const [error, code] of [
    [undefined, 8],
    [new Error('defect'), 2],
  ] as const) {
    const { peer, response } = await asked();
    response.on('error', () => {});
    response.destroy(error);
    assert.deepEqual(await peer.sent(), [`RstStream 1 ${code}`]);
  }
});

test('an answer before the end of the request is whole', async () => {
  const { peer, heard, response } = await asked();
  await peer.send(data(1, 'x'));
  response.writeHead(401, {});
  response.end('no');
  await turn();
  assert.deepEqual(await peer.sent(), ['Headers 1 :status 401', 'Data 1 2', 'Data 1 0 end']);
  assert.deepEqual(heard.toSorted(), ['finish', 'request closed', 'response closed']);
  peer.clock.advance(10);
  assert.deepEqual(await peer.sent(), ['RstStream 1 0']);
});
