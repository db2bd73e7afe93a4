// The test agent's end of a WebSocket that its server ends first.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, performServerHandshake, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import { hangUp } from '../../support/agent/hang_up.ts';
import { delay } from '../../support/wait.ts';

for (const [when, wait] of [
  ['at once', (f: () => void) => f()],
  ['in the same turn', process.nextTick],
  ['in the next turn', setImmediate],
  ['later', (f: () => void) => setTimeout(f, 20)],
] as const)
  test(`a session with bytes unsent hangs up ${when} after the server has ended its WebSocket`, async (t) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    t.after(() => server.close());
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[WebSocket]>;
    const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const transport = createWebSocketStream(client);
    transport.on('error', () => {});
    const [far] = await accepted;
    const farSession = performServerHandshake(createWebSocketStream(far).on('error', () => {}));
    farSession.on('error', () => {});
    farSession.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200 });
    });
    const session = connect('http://a', { createConnection: () => transport });
    session.on('error', () => {});
    const stream = session.request({ ':path': '/', ':method': 'POST' });
    stream.on('error', () => {}).resume();
    await once(stream, 'response');
    stream.write(Buffer.alloc(1 << 20));
    const hungUp = new Promise<void>((resolve, reject) => {
      transport.once('end', () =>
        wait(() => {
          try {
            hangUp(session, transport);
            resolve();
          } catch (error) {
            reject(error);
          }
        }),
      );
    });
    far.close(1000);
    await hungUp;
    await delay(50);
    assert.ok(session.destroyed && transport.destroyed);
    far.terminate();
  });
