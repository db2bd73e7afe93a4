// Frames of WebSockets that cost their sender little, on the agents' port.
import { after, before, describe, test } from 'node:test';
import { clientFrame } from '../../integration/net/frame_client.ts';
import { FrameType, frame, PREFACE, settings } from '../../support/hostile/frames.ts';
import { type Scene, setScene } from '../../support/hostile/scene.ts';
import { rawConnection } from '../../support/http1.ts';
import { delay } from '../../support/wait.ts';

const [Continuation, Binary, Ping, Pong] = [0, 2, 9, 10];
const notFinal = (bytes: Buffer) => Buffer.concat([Buffer.of(bytes[0]! & 0x7f), bytes.subarray(1)]);
const http2 = Buffer.concat([PREFACE, settings()]);
const ping = frame(FrameType.Ping, 0, 0, Buffer.alloc(8));

interface Flood {
  /** Sent once, before. */
  readonly first?: Buffer;
  readonly again: Buffer;
  /** Nobody reads what the server says. */
  readonly stalled?: boolean;
}

const floods: Readonly<Record<string, Flood>> = {
  'pings of 125 bytes': { again: clientFrame(Ping, Buffer.alloc(125)) },
  'pings that nobody reads the answers of': { again: clientFrame(Ping, Buffer.alloc(125)), stalled: true },
  'answers to pings that nobody sent': { again: clientFrame(Pong, Buffer.alloc(125)) },
  'messages of nothing': { again: clientFrame(Binary, Buffer.alloc(0)) },
  'a message of fragments of nothing': {
    first: notFinal(clientFrame(Binary, Buffer.alloc(0))),
    again: notFinal(clientFrame(Continuation, Buffer.alloc(0))),
  },
  'a message of fragments of one byte, pings between': {
    first: notFinal(clientFrame(Binary, http2)),
    again: Buffer.concat(
      [...ping].flatMap((byte) => [
        notFinal(clientFrame(Continuation, Buffer.of(byte))),
        clientFrame(Ping, Buffer.alloc(0)),
      ]),
    ),
  },
  'HTTP/2 in messages of one byte': {
    first: clientFrame(Binary, http2),
    again: Buffer.concat([...frame(0x99, 0, 0, Buffer.alloc(200))].map((byte) => clientFrame(Binary, Buffer.of(byte)))),
  },
  'garbage in place of HTTP/2': { again: clientFrame(Binary, Buffer.alloc(4000, 0xff)) },
  'HTTP/2 pings that nobody reads the answers of': {
    first: clientFrame(Binary, http2),
    again: clientFrame(Binary, ping),
    stalled: true,
  },
  text: { again: clientFrame(1, Buffer.from('x')) },
  'bytes that are no frames': { again: Buffer.from('GET / HTTP/1.1\r\n\r\n') },
};

describe('floods of WebSocket frames', () => {
  let scene: Scene;
  before(async () => {
    scene = await setScene();
  });
  after(() => scene.stop());

  async function flood({ first, again, stalled = false }: Flood): Promise<void> {
    const raw = await rawConnection(scene.endpoint('agent'));
    raw.write(
      'GET / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ws-tunnel\r\n\r\n',
    );
    await raw.readUntil('\r\n\r\n');
    const { socket } = raw;
    if (stalled) socket.pause();
    if (first !== undefined) raw.write(first);
    const block = Buffer.concat(Array.from({ length: Math.ceil(16_000 / again.length) }, () => again));
    const end = performance.now() + 1500;
    while (performance.now() < end && !socket.destroyed && socket.writable) {
      if (socket.write(block)) await delay(0);
      else {
        const drained = new Promise<void>((resolve) => socket.once('drain', resolve));
        if ((await Promise.race([drained, raw.closed, delay(500).then(() => 'stuck')])) === 'stuck') break;
      }
    }
    raw.close();
  }

  for (const [name, one] of Object.entries(floods)) test(name, () => scene.survives(() => flood(one)));

  test('all of them at once', async () => {
    await scene.survives(async () => {
      await Promise.all(Object.values(floods).map(flood));
    });
  });

  test('a hundred frames whose payload hardly comes', async () => {
    await scene.survives(async () => {
      const header = clientFrame(Binary, Buffer.alloc(9 << 20)).subarray(0, 14);
      await Promise.all(Array.from({ length: 100 }, () => flood({ first: header, again: Buffer.of(0) })));
    });
  });
});
