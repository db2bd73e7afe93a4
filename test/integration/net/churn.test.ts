// Sessions that end inside their stream handlers, by the thousand.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import { test } from 'node:test';
import { createWebSocketStream } from 'ws';
import { ErrorCode } from '../../../src/http2/error_code.ts';
import type { Stream } from '../../../src/http2/stream.ts';
import { connectOptions, type Endpoint } from '../../support/endpoint.ts';
import { within } from '../../support/wait.ts';
import { webSocket } from '../../support/websocket.ts';
import { answer, openWithWebSocket } from './setup.ts';

/** What a handler does with its session, or its stream, at once or a moment later. */
const ends: readonly ((stream: Stream) => void)[] = [
  (stream) => stream.connection.destroy(),
  (stream) => {
    stream.sendHeaders({ ':status': 200 });
    stream.connection.destroy();
  },
  (stream) => {
    stream.sendHeaders({ ':status': 200 });
    stream.write(Buffer.alloc(100_000));
    process.nextTick(() => stream.connection.destroy());
  },
  (stream) => {
    answer(stream, 'x');
    stream.connection.close();
    setImmediate(() => stream.connection.destroy());
  },
  (stream) => {
    stream.open({ data: () => stream.connection.destroy(), ended() {}, drained() {}, closed() {} });
    stream.resume();
  },
  (stream) => stream.reset(ErrorCode.Cancel),
];

async function native(endpoint: Endpoint): Promise<ClientHttp2Session> {
  const where = connectOptions(endpoint);
  return connect('http://a', 'port' in where ? { port: where.port, host: where.host } : {});
}

async function inWebSocket(endpoint: Endpoint): Promise<ClientHttp2Session> {
  const socket = webSocket(endpoint, ['ws-tunnel']);
  const duplex = createWebSocketStream(socket).on('error', () => {});
  await once(socket, 'open');
  return connect('http://a', { createConnection: () => duplex });
}

for (const [way, dial, sessions] of [
  ['HTTP/2', native, 1000],
  ['HTTP/2 in a WebSocket', inWebSocket, 300],
] as const)
  test(`${way}: sessions that end in their stream handlers`, { timeout: 60_000 }, async (t) => {
    let streams = 0;
    const { endpoint, front } = await openWithWebSocket(t, (stream) => {
      ends[streams++ % ends.length]!(stream);
    });
    const one = async () => {
      const session = await dial(endpoint);
      session.on('error', () => {});
      const closed = new Promise<void>((resolve) => session.once('close', () => resolve()));
      for (let i = 0; i < 5; i++) {
        const stream = session.request({ ':method': 'POST' });
        stream.on('error', () => {}).resume();
        stream.end(Buffer.alloc(1000));
        // A stream that only its server has ended leaves its session open.
        stream.on('close', () => setTimeout(() => session.close(), 20));
      }
      await closed;
    };
    for (let i = 0; i < sessions; i += 20) await Promise.all(Array.from({ length: 20 }, one));
    assert.ok(streams >= sessions);
    await within('the end of all connections', 10_000, front.whenIdle());
  });
