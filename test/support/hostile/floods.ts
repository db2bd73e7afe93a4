import type { Endpoint } from '../endpoint.ts';
import { delay } from '../wait.ts';
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
} from './frames.ts';
import { RawHttp2 } from './raw_http2.ts';

const request = headerBlock({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect',
  ':authority': 'k',
  'content-type': 'application/grpc',
  te: 'trailers',
});
const open = (stream: number) => frame(FrameType.Headers, Flag.EndHeaders, stream, request);

/** Frames that cost their sender little, again and again. */
export interface Flood {
  /** Sent once, before. */
  readonly before?: Buffer;
  /** The frames of round `i`, from 0. */
  readonly flood: (i: number) => Buffer;
  /** Nobody reads what the server answers. */
  readonly stalled?: boolean;
}

/** By what is sent. */
export const floods: Readonly<Record<string, Flood>> = {
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

const ROUNDS = 50_000;
const AT_ONCE = 100;
const LONGEST_MS = 2000;

/** One connection's worth of a flood: until the server has had enough, or for two seconds. */
export async function flood(endpoint: Endpoint, { before, flood: next, stalled = false }: Flood): Promise<void> {
  const client = await RawHttp2.connect(endpoint);
  if (stalled) client.stall();
  if (before !== undefined) await client.send(before);
  const end = performance.now() + LONGEST_MS;
  for (let i = 0; i < ROUNDS && performance.now() < end; i += AT_ONCE) {
    const block = Buffer.concat(Array.from({ length: AT_ONCE }, (_, j) => next(i + j)));
    // A server that reads no more is one way to defend itself.
    if ((await Promise.race([client.send(block), delay(500)])) !== true) break;
  }
  await Promise.race([client.closed, delay(200)]);
  client.close();
}
