// Clients that say nothing, stop in the middle, or say it a byte at a time: on each listener, before and inside TLS.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connectOptions, dial } from '../../support/endpoint.ts';
import { Flag, FrameType, frame, headerBlock, PREFACE, settings } from '../../support/hostile/frames.ts';
import { allListeners, http2Listeners, type Listener, type Scene, setScene } from '../../support/hostile/scene.ts';
import { makeTls } from '../../support/tls.ts';
import { delay } from '../../support/wait.ts';

/** Longer than any of the server's patience for who has yet to say something. */
const PATIENCE_MS = 45_000;

const opening = Buffer.concat([PREFACE, settings()]);
const request = headerBlock({ ':method': 'GET', ':scheme': 'http', ':path': '/', ':authority': 'k' });

/** What is sent at once, before the client falls silent. */
const beginnings: Readonly<Record<string, { bytes: string | Buffer; only?: readonly Listener[] }>> = {
  nothing: { bytes: '' },
  'one byte': { bytes: 'G' },
  'half a preface': { bytes: PREFACE.subarray(0, 10), only: http2Listeners },
  'half a head': { bytes: 'GET / HTTP/1.1\r\nHost: k\r\nX-A' },
  'a preface': { bytes: opening, only: http2Listeners },
  'half a frame': {
    bytes: Buffer.concat([opening, frame(FrameType.Headers, 5, 1, request).subarray(0, 12)]),
    only: http2Listeners,
  },
  'half a header block': {
    bytes: Buffer.concat([opening, frame(FrameType.Headers, 0, 1, request)]),
    only: http2Listeners,
  },
  'a request without its end': {
    bytes: Buffer.concat([opening, frame(FrameType.Headers, Flag.EndHeaders, 1, request)]),
    only: http2Listeners,
  },
};
const trickles: Readonly<Record<string, Buffer>> = {
  'a head, a byte at a time': Buffer.from(`GET / HTTP/1.1\r\nHost: k\r\nX-A: ${'y'.repeat(1000)}`),
  'a preface, a byte at a time': Buffer.concat([PREFACE, settings(), Buffer.alloc(1000)]),
};

interface Client {
  readonly name: string;
  readonly socket: Socket;
}

describe('slow clients', { concurrency: true }, () => {
  for (const secure of [false, true])
    describe(secure ? 'with TLS' : 'in cleartext', () => {
      let scene: Scene;
      before(async () => {
        const config = { server: { limits: { unauthenticated_time: '12s' } } };
        scene = await setScene(secure ? { config, tls: makeTls() } : { config });
      });
      after(() => scene.stop());

      /** In TLS where there is some and it is wanted. */
      async function open(listener: Listener, inTls: boolean): Promise<Socket> {
        const endpoint = scene.endpoint(listener);
        const socket = inTls ? await dial(endpoint, ['h2', 'http/1.1']) : connect(connectOptions(endpoint));
        return socket.on('error', () => {}).resume();
      }

      async function clients(): Promise<Client[]> {
        const all: Client[] = [];
        for (const listener of allListeners) {
          const tls = scene.endpoint(listener).ca !== undefined;
          if (secure && !tls) continue; // the same as without
          for (const [name, { bytes, only }] of Object.entries(beginnings)) {
            if (only !== undefined && !only.includes(listener)) continue;
            const socket = await open(listener, tls);
            if (bytes.length > 0) socket.write(bytes);
            all.push({ name: `${listener}: ${name}`, socket });
          }
          for (const [name, bytes] of Object.entries(trickles)) {
            const socket = await open(listener, tls);
            void trickle(socket, bytes);
            all.push({ name: `${listener}: ${name}`, socket });
          }
          if (!tls) continue;
          const silent = await open(listener, false);
          const half = await open(listener, false);
          half.write(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]));
          all.push(
            { name: `${listener}: no TLS`, socket: silent },
            { name: `${listener}: half a ClientHello`, socket: half },
          );
        }
        return all;
      }

      async function trickle(socket: Socket, bytes: Buffer): Promise<void> {
        for (const byte of bytes) {
          if (socket.destroyed) return;
          socket.write(Buffer.of(byte));
          await delay(100);
        }
      }

      test('each is cut off after a while, and nobody waits for them', { timeout: 120_000 }, async () => {
        await scene.survives(async () => {
          const all = (await Promise.all(Array.from({ length: 3 }, clients))).flat();
          const end = performance.now() + PATIENCE_MS;
          while (performance.now() < end && all.some(({ socket }) => !socket.destroyed)) await delay(100);
          const left = new Set(all.filter(({ socket }) => !socket.destroyed).map(({ name }) => name));
          for (const { socket } of all) socket.destroy();
          assert.deepEqual([...left], []);
        });
      });

      test('those that close their half in the middle are gone at once', async () => {
        await scene.survives(async () => {
          // In the middle of a handshake the end goes unheard; it has twenty seconds, see above.
          const all = (await clients()).filter(({ name }) => !name.endsWith('half a ClientHello'));
          for (const { socket } of all) socket.end();
          const end = performance.now() + 5000;
          while (performance.now() < end && all.some(({ socket }) => !socket.destroyed)) await delay(50);
          const left = all.filter(({ socket }) => !socket.destroyed).map(({ name }) => name);
          for (const { socket } of all) socket.destroy();
          assert.deepEqual(left, []);
        });
      });
    });
});
