import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { type TestContext, test } from 'node:test';
import { createWebSocketStream, type WebSocket } from 'ws';
import { Http2Messages } from '../../../src/net/http2_messages.ts';
import { Opcode } from '../../../src/net/websocket_frames.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { makeCertificate } from '../../support/certificates.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { webSocket } from '../../support/websocket.ts';
import { clientFrame, FrameClient } from './frame_client.ts';
import { answer, echoHandlers, openWithWebSocket, temporaryFolder } from './setup.ts';

interface Case {
  readonly name: string;
  readonly request: string;
  readonly script?: readonly [string, { readonly hex?: string }][];
  readonly response: {
    readonly status_line?: string;
    readonly headers?: readonly [string, string][];
    readonly body?: string;
    readonly server_frames?: readonly { readonly opcode: number; readonly payload_hex: string }[];
  };
}

const vectors = new URL('../../vectors/agent-connect/handshake-table.json', import.meta.url);
const table: Case[] = JSON.parse(readFileSync(vectors, 'utf8')).cases;
const upgradeRequest = table.find(({ name }) => name === 'frame-preface')?.request ?? '';
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');

/** What upstream says with 1000, closing a WebSocket whose bytes make no sense. */
const otherCloseCodes: Record<string, readonly number[]> = {
  'frame-unmasked': [1002],
  'frame-not-http2': [1000, 1002],
};

for (const { name, request, script = [], response } of table) {
  // The longest messages are below, what is no WebSocket in protocols.test.ts.
  if (response.status_line === undefined || name.includes('-bytes')) continue;
  test(`recorded handshake: ${name}`, async (t) => {
    const { endpoint } = await openWithWebSocket(t, echoHandlers.stream);
    const client = await FrameClient.connect(endpoint);
    t.after(() => client.socket.destroy());
    client.write(request);
    const { status, headers } = await client.readHead();
    assert.equal(status, Number(response.status_line?.split(' ')[1]));
    for (const [header, value] of response.headers ?? []) {
      if (header !== 'Date') assert.equal(headers.get(header.toLowerCase()), value, header);
    }
    assert.equal(headers.get('sec-websocket-extensions'), undefined);
    const { body } = response;
    if (body !== undefined) assert.equal((await client.read(body.length)).toString(), body);
    for (const [, { hex = '' }] of script) client.write(Buffer.from(hex, 'hex'));
    for (const expected of response.server_frames ?? []) {
      if (expected.opcode < Opcode.Close) continue; // HTTP/2 frames of another server
      const frame = await client.readControl();
      assert.equal(frame.opcode, expected.opcode);
      const codes = otherCloseCodes[name];
      if (codes === undefined) assert.equal(frame.payload.toString('hex'), expected.payload_hex);
      else assert.ok(codes.includes(frame.payload.readUInt16BE(0)), frame.payload.toString('hex'));
    }
  });
}

async function upgraded(t: TestContext, endpoint: Endpoint): Promise<FrameClient> {
  const client = await FrameClient.connect(endpoint);
  t.after(() => client.socket.destroy());
  client.write(upgradeRequest);
  assert.equal((await client.readHead()).status, 101);
  return client;
}

const SETTINGS = Buffer.from('000000040000000000', 'hex');

/** HTTP/2 frames of an unknown type, which a peer must ignore, behind preface and SETTINGS: `length` bytes in all. */
function ignoredFrames(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  preface.copy(bytes);
  SETTINGS.copy(bytes, preface.length);
  for (let at = preface.length + SETTINGS.length; at < length; ) {
    const payload = Math.min(16_384, length - at - 9);
    bytes.writeUIntBE(payload, at, 3);
    bytes[at + 3] = 0xfa;
    at += 9 + payload;
  }
  return bytes;
}

test('a message of 10 MiB is taken, one byte more is not', async (t) => {
  const { endpoint } = await openWithWebSocket(t, echoHandlers.stream);
  const client = await upgraded(t, endpoint);
  client.write(clientFrame(Opcode.Binary, ignoredFrames(10_485_760)));
  client.write(clientFrame(Opcode.Ping, Buffer.from('still there?')));
  assert.deepEqual(await client.readControl(), { opcode: Opcode.Pong, payload: Buffer.from('still there?') });

  const greedy = await upgraded(t, endpoint);
  greedy.write(clientFrame(Opcode.Binary, ignoredFrames(10_485_761)));
  const { opcode, payload } = await greedy.readControl();
  assert.equal(opcode, Opcode.Close);
  assert.equal(payload.readUInt16BE(0), 1009);
  assert.equal(payload.toString('utf8', 2), 'read limited at 10485761 bytes');
  await greedy.closed();
});

test('the server pings before nginx would cut a silent WebSocket', async (t) => {
  const clock = new FakeClock();
  const { endpoint } = await openWithWebSocket(t, echoHandlers.stream, { clock });
  const client = await upgraded(t, endpoint);
  client.write(clientFrame(Opcode.Binary, preface));
  await client.readFrame();
  clock.advance(45_000);
  assert.deepEqual(await client.readControl(), { opcode: Opcode.Ping, payload: Buffer.alloc(0) });
});

test('a client that does not answer a close frame is cut after a second', async (t) => {
  const clock = new FakeClock();
  const { endpoint } = await openWithWebSocket(t, echoHandlers.stream, { clock });
  const client = await FrameClient.connect(endpoint);
  client.write(upgradeRequest.replace('Sec-WebSocket-Protocol: ws-tunnel\r\n', ''));
  await client.readHead();
  assert.equal((await client.readControl()).opcode, Opcode.Close);
  assert.equal(client.socket.closed, false);
  clock.advance(1000);
  await client.closed();
});

async function tunnel(t: TestContext, endpoint: Endpoint): Promise<{ ws: WebSocket; session: ClientHttp2Session }> {
  const ws = webSocket(endpoint, ['ws-tunnel'], '/any/path?query');
  const duplex = createWebSocketStream(ws);
  duplex.on('error', () => {});
  await once(ws, 'open');
  const session = connectHttp2('http://a', { createConnection: () => duplex });
  session.on('error', () => {});
  // Not session.destroy(): Node's HTTP/2 client over a stream fails an assertion if that has ended before.
  t.after(() => ws.terminate());
  return { ws, session };
}

test('HTTP/2 inside a WebSocket carries bytes both ways, unchanged', async (t) => {
  const { endpoint } = await openWithWebSocket(t, (stream, headers, list) => {
    const { request, response } = new Http2Messages(stream, headers, list);
    response.writeHead(200, []);
    request.pipe(response);
  });
  const { session } = await tunnel(t, endpoint);
  const sent = Buffer.from(Array.from({ length: 3_000_001 }, (_, i) => (i * 31 + (i >> 8)) & 0xff));
  const stream = session.request({ ':method': 'POST', ':path': '/echo' });
  stream.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.ok(Buffer.concat(chunks).equals(sent));
});

test('the stream knows the address of who opened the WebSocket', async (t) => {
  const { endpoint } = await openWithWebSocket(t, (stream, _headers, _raw, session) => {
    answer(stream, session.remoteAddress);
  });
  const { session } = await tunnel(t, endpoint);
  let body = '';
  for await (const chunk of session.request({ ':path': '/' })) body += chunk;
  assert.equal(body, '127.0.0.1');
});

test('a WebSocket inside TLS carries the same', async (t) => {
  const { cert, key } = makeCertificate();
  const folder = temporaryFolder(t);
  const tls = { certificateFile: folder.write('tls.crt', cert), keyFile: folder.write('tls.key', key) };
  const listen = { network: 'tcp' as const, address: '127.0.0.1:0', tls };
  const { endpoint } = await openWithWebSocket(t, echoHandlers.stream, { listen, ca: cert });
  const { session } = await tunnel(t, endpoint);
  let body = '';
  for await (const chunk of session.request({ ':path': '/wss' })) body += chunk;
  assert.equal(body, 'HTTP/2 GET /wss');
});

test('the WebSocket ends with its HTTP/2 session: normally', async (t) => {
  const { endpoint, front } = await openWithWebSocket(t, echoHandlers.stream);
  const { ws, session } = await tunnel(t, endpoint);
  for await (const _ of session.request({ ':path': '/' }));
  const closed = once(ws, 'close');
  front.stopAccepting();
  void front.drain(0);
  assert.equal((await closed)[0], 1000);
  await front.whenIdle();
});

test('the HTTP/2 session ends with its WebSocket, and its streams know', async (t) => {
  const gone = Promise.withResolvers<void>();
  const reset = Promise.withResolvers<void>();
  const { endpoint, front } = await openWithWebSocket(t, (stream, _headers, _raw, session) => {
    stream.open({ data() {}, ended() {}, drained() {}, closed: () => reset.resolve() });
    stream.sendHeaders({ ':status': 200 });
    session.scope.own({ close: () => gone.resolve() });
  });
  const { ws, session } = await tunnel(t, endpoint);
  const stream = session.request({ ':path': '/' });
  stream.on('error', () => {});
  await once(stream, 'response');
  ws.terminate();
  await Promise.all([gone.promise, reset.promise]);
  await front.whenIdle();
});

test('a client that stops reading, then sends nonsense or leaves with an error, harms only itself', async (t) => {
  const { endpoint, front } = await openWithWebSocket(t, (stream) => {
    answer(stream, Buffer.alloc(8 << 20));
  });
  const goAway = Buffer.from('00000807000000000000000000' + '00000002', 'hex');
  const nonsense = Buffer.from('ffffff0102030405060708090a', 'hex');
  for (const farewell of [goAway, nonsense, undefined]) {
    const client = await upgraded(t, endpoint);
    // Windows wide open, then a request: HPACK's static :method GET, :scheme http, :path /, and an empty :authority.
    const wide = Buffer.from(
      '00000604' + '0000000000' + '00047fffffff' + '00000408' + '0000000000' + '7fff0000',
      'hex',
    );
    const get = Buffer.from('00000501' + '0500000001' + '8286844100', 'hex');
    client.write(clientFrame(Opcode.Binary, Buffer.concat([preface, wide, get])));
    await client.readFrame();
    client.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 50)); // the server fills all buffers
    if (farewell === undefined) client.socket.resetAndDestroy();
    else {
      client.write(clientFrame(Opcode.Binary, farewell));
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.socket.destroy();
    }
  }
  const { session } = await tunnel(t, endpoint);
  let length = 0;
  for await (const chunk of session.request({ ':path': '/' })) length += chunk.length;
  assert.equal(length, 8 << 20);
  void front.drain(0);
  await front.whenIdle();
});
