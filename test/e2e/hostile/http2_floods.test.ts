// Frames that cost their sender little: sent by the ten thousand to each listener that speaks HTTP/2.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  Flag,
  FrameType,
  frame,
  HEADER_TABLE_SIZE,
  headerBlock,
  INITIAL_WINDOW_SIZE,
  literal,
  rstStream,
  settings,
  uint32,
  windowUpdate,
} from '../../support/hostile/frames.ts';
import { RawHttp2 } from '../../support/hostile/raw_http2.ts';
import { http2Listeners, type Listener, type Scene, setScene } from '../../support/hostile/scene.ts';
import { delay } from '../../support/wait.ts';

const request = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect',
  ':authority': 'k',
  'content-type': 'application/grpc',
  te: 'trailers',
});
const open = (stream: number) => frame(FrameType.Headers, Flag.EndHeaders, stream, request);

/** What is sent again and again, `i` from 0; a block of it leaves in one write. */
type Flood = (i: number) => Buffer;

const floods: Readonly<Record<string, { before?: Buffer; flood: Flood; times?: number; stalled?: boolean }>> = {
  'streams reset as soon as they are open': { flood: (i) => Buffer.concat([open(2 * i + 1), rstStream(2 * i + 1)]) },
  'streams that make the server reset them': {
    flood: (i) => Buffer.concat([open(2 * i + 1), windowUpdate(2 * i + 1, 0)]),
  },
  'streams that are opened and left': { flood: (i) => open(2 * i + 1) },
  'header blocks that never end': {
    before: frame(FrameType.Headers, 0, 1, request),
    flood: (i) => frame(FrameType.Continuation, 0, 1, literal(0, `x-${i}`, 'y'.repeat(8000))),
  },
  'header blocks of nothing': {
    before: frame(FrameType.Headers, 0, 1, request),
    flood: () => frame(FrameType.Continuation, 0, 1),
  },
  SETTINGS: { flood: () => settings() },
  'SETTINGS that nobody reads the answers of': { flood: () => settings(), stalled: true },
  'SETTINGS that change the header table': {
    flood: (i) => settings({ [HEADER_TABLE_SIZE]: i % 2 === 0 ? 0 : 1 << 30 }),
  },
  PING: { flood: (i) => frame(FrameType.Ping, 0, 0, Buffer.concat([uint32(0), uint32(i)])) },
  'PING that nobody reads the answers of': {
    flood: (i) => frame(FrameType.Ping, 0, 0, Buffer.concat([uint32(0), uint32(i)])),
    stalled: true,
  },
  'PRIORITY of streams that are not there': {
    flood: (i) => frame(FrameType.Priority, 0, 2 * i + 1, Buffer.concat([uint32(0), Buffer.of(15)])),
  },
  'window updates by one byte': { before: open(1), flood: (i) => windowUpdate(i % 2, 1) },
  'DATA of nothing': { before: open(1), flood: () => frame(FrameType.Data, 0, 1) },
  'DATA of nothing but padding': {
    before: open(1),
    flood: () => frame(FrameType.Data, Flag.Padded, 1, Buffer.of(0)),
  },
  'frames of types that nobody knows': { flood: (i) => frame(0x20 + (i % 64), 0, i, Buffer.alloc(100)) },
  'answers to pings that nobody sent': { flood: () => frame(FrameType.Ping, Flag.Ack, 0, Buffer.alloc(8)) },
  'windows that open and close': {
    before: open(1),
    flood: (i) => settings({ [INITIAL_WINDOW_SIZE]: i % 2 === 0 ? 0 : 65_535 }),
  },
};

describe('floods of HTTP/2 frames', () => {
  let scene: Scene;
  before(async () => {
    scene = await setScene();
  });
  after(() => scene.stop());

  async function flood(listener: Listener, name: string): Promise<void> {
    const { before: first, flood: next, times = 50_000, stalled = false } = floods[name]!;
    const client = await RawHttp2.connect(scene.endpoint(listener));
    if (stalled) client.stall();
    if (first !== undefined) await client.send(first);
    const end = performance.now() + 2000;
    for (let i = 0; i < times && performance.now() < end; i += 100) {
      const block = Buffer.concat(Array.from({ length: 100 }, (_, j) => next(i + j)));
      // A server that reads no more is one way to defend itself.
      if ((await Promise.race([client.send(block), delay(500)])) !== true) break;
    }
    await Promise.race([client.closed, delay(200)]);
    client.close();
  }

  for (const listener of http2Listeners)
    test(`to ${listener}`, { timeout: 120_000 }, async (t) => {
      for (const name of Object.keys(floods)) await t.test(name, () => scene.survives(() => flood(listener, name)));
    });

  test('all of them at once', { timeout: 120_000 }, async () => {
    await scene.survives(async () => {
      await Promise.all(
        http2Listeners.map((listener) => Promise.all(Object.keys(floods).map((name) => flood(listener, name)))),
      );
    });
    assert.equal((await scene.cluster.ask({ path: '/fine' })).text, 'fine');
  });
});
