import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http2';
import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { Connection, type ConnectionHandler, type ConnectionOptions } from '../../../src/http2/connection.ts';
import { CLIENT_PREFACE, Flag, FrameType } from '../../../src/http2/frame.ts';
import { FrameReader } from '../../../src/http2/frame_reader.ts';
import { HpackDecoder } from '../../../src/http2/hpack/decoder.ts';
import { encodeHeaders } from '../../../src/http2/hpack/encoder.ts';
import type { Headers, Stream, StreamSink } from '../../../src/http2/stream.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';

/** One end of a connection in memory. What is written to it goes to `onWrite`; what it is given by `arrive` is read. */
export class Wire extends Duplex {
  onWrite: (chunk: Buffer) => void = () => {};
  /** How often bytes were written; several chunks at once count as one. */
  writes = 0;
  #blocked = false;
  #waiting: (() => void) | undefined;

  constructor(writableHighWaterMark = 64 << 10) {
    super({ writableHighWaterMark, readableHighWaterMark: 1 << 20 });
  }

  arrive(chunk: Buffer): void {
    if (!this.destroyed && !this.readableEnded) this.push(chunk);
  }

  /** The other side reads nothing more for now. */
  block(): void {
    this.#blocked = true;
  }

  unblock(): void {
    this.#blocked = false;
    const done = this.#waiting;
    this.#waiting = undefined;
    done?.();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take([chunk], done);
  }

  override _writev(items: { chunk: Buffer }[], done: () => void): void {
    this.#take(
      items.map(({ chunk }) => chunk),
      done,
    );
  }

  #take(chunks: readonly Buffer[], done: () => void): void {
    this.writes++;
    for (const chunk of chunks) this.onWrite(chunk);
    if (this.#blocked) this.#waiting = done;
    else done();
  }
}

/** A frame as a peer sees it; of DATA the parts are joined. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const NAMES = new Map<number, string>(Object.entries(FrameType).map(([name, type]) => [type, name]));

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export const headers = (streamId: number, list: Headers, end = false): Buffer =>
  frame(FrameType.Headers, Flag.EndHeaders | (end ? Flag.EndStream : 0), streamId, encodeHeaders(list));
export const data = (streamId: number, payload: Uint8Array | string = '', end = false): Buffer =>
  frame(FrameType.Data, end ? Flag.EndStream : 0, streamId, Buffer.from(payload));
export const reset = (streamId: number, code: number): Buffer => frame(FrameType.RstStream, 0, streamId, number(code));
export const windowUpdate = (streamId: number, bytes: number): Buffer =>
  frame(FrameType.WindowUpdate, 0, streamId, number(bytes));
export const goAway = (lastStreamId: number, code: number, debug = ''): Buffer =>
  frame(FrameType.GoAway, 0, 0, Buffer.concat([number(lastStreamId), number(code), Buffer.from(debug)]));
export const settings = (...pairs: [id: number, value: number][]): Buffer => {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [i, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return frame(FrameType.Settings, 0, 0, payload);
};
export const settingsAck = (): Buffer => frame(FrameType.Settings, Flag.Ack, 0);

export const REQUEST: Headers = { ':method': 'POST', ':scheme': 'http', ':authority': 'kas', ':path': '/a' };

export const OPTIONS: Omit<ConnectionOptions, 'role' | 'clock'> = {
  streamWindowBytes: 100_000,
  connectionWindowBytes: 1 << 20,
  heldBytes: { stranger: 1 << 20, known: 1 << 20 },
  maxStreams: 10,
  headerList: { bytes: 64 << 10, pairs: 100 },
  flood: { burst: 20, perSecond: 10 },
};

/** What one of our connections does, seen from the other end of its wire, frame by frame. */
export class FramePeer {
  readonly clock = new FakeClock();
  readonly wire: Wire;
  readonly connection: Connection;
  /** What the connection has sent, its preface and the SETTINGS after that aside. */
  readonly frames: Frame[] = [];
  /** The connection's streams that the peer has opened, in their order. */
  readonly streams: HeardStream[] = [];
  readonly heard: string[] = [];
  /** Sinks of streams do this with each stream before anything else. */
  onRequest: (stream: HeardStream) => void = (stream) => stream.listen();
  #prefaceLeft = CLIENT_PREFACE.length;
  #parts: Buffer[] = [];
  readonly #hpack = new HpackDecoder();

  constructor(
    role: 'server' | 'client',
    options: Partial<ConnectionOptions> = {},
    handler: Partial<ConnectionHandler> = {},
    wire = new Wire(),
  ) {
    this.wire = wire;
    if (role === 'server') this.#prefaceLeft = 0;
    const reader = this.#reader();
    this.wire.onWrite = (chunk) => {
      const skipped = Math.min(this.#prefaceLeft, chunk.length);
      this.#prefaceLeft -= skipped;
      reader.push(chunk.subarray(skipped));
    };
    this.connection = new Connection(
      this.wire,
      {
        request: (stream, list) => {
          const heard = new HeardStream(stream, list);
          this.streams.push(heard);
          this.onRequest(heard);
        },
        greeted: () => void this.heard.push('greeted'),
        pinged: () => void this.heard.push('pinged'),
        leaving: (code, debug) => void this.heard.push(`leaving ${code} ${debug}`.trim()),
        closed: (error) => void this.heard.push(`closed ${error?.message ?? ''}`.trim()),
        ...handler,
      },
      { ...OPTIONS, role, clock: this.clock, ...options },
    );
  }

  #reader(): FrameReader {
    const push = (type: number, flags: number, streamId: number, payload: Buffer) =>
      void this.frames.push({ type, flags, streamId, payload: Buffer.from(payload) });
    let left = 0;
    let flags = 0;
    return new FrameReader({
      begun: (_type, given, _streamId, length) => {
        left = length;
        flags = given;
        return true;
      },
      data: (streamId, chunk) => {
        this.#parts.push(chunk);
        left -= chunk.length;
        if (left === 0) push(FrameType.Data, flags, streamId, Buffer.concat(this.#parts.splice(0)));
      },
      frame: push,
      frameTooLong: () => {
        throw new Error('a frame of more than 16 KiB');
      },
    });
  }

  /** Sends bytes as they are, and lets the connection answer. */
  async send(...bytes: readonly Uint8Array[]): Promise<void> {
    const length = bytes.reduce((sum, each) => sum + each.length, 0);
    const chunk = Buffer.allocUnsafeSlow(length); // no part of a pool, like what a socket reads
    let at = 0;
    for (const each of bytes) {
      chunk.set(each, at);
      at += each.length;
    }
    this.wire.arrive(chunk);
    await turn();
  }

  /** What a peer says first, and that it has read what the connection said first. What comes back is not kept. */
  async greet(...pairs: [id: number, value: number][]): Promise<void> {
    const preface = this.connection.isServer ? CLIENT_PREFACE : Buffer.alloc(0);
    await this.send(preface, settings(...pairs), settingsAck());
    this.frames.length = 0;
    this.heard.length = 0;
  }

  /** What has been sent since this was last asked, a word and a few numbers for each frame. */
  async sent(): Promise<string[]> {
    await turn();
    return this.frames.splice(0).map((each) => this.#text(each));
  }

  #text({ type, flags, streamId, payload }: Frame): string {
    const end = (flags & Flag.EndStream) !== 0 ? ' end' : '';
    switch (type) {
      case FrameType.Data:
        return `Data ${streamId} ${payload.length}${end}`;
      case FrameType.Headers: {
        if ((flags & Flag.EndHeaders) === 0) return `Headers ${streamId} ${payload.length}…${end}`;
        const list = this.#hpack.decode(payload, { bytes: 1 << 20, pairs: 1000 }) ?? [];
        return `Headers ${streamId}${end} ${list.join(' ')}`.trim();
      }
      case FrameType.RstStream:
        return `RstStream ${streamId} ${payload.readUInt32BE(0)}`;
      case FrameType.WindowUpdate:
        return `WindowUpdate ${streamId} ${payload.readUInt32BE(0)}`;
      case FrameType.GoAway:
        return `GoAway ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)} ${payload.toString('latin1', 8)}`.trim();
      case FrameType.Settings:
      case FrameType.Ping:
        return `${NAMES.get(type)}${(flags & Flag.Ack) !== 0 ? ' ack' : ''}`;
      default:
        return `${NAMES.get(type) ?? type} ${streamId} ${payload.length}`;
    }
  }
}

/** A stream, and what its sink hears in order: `data` with the bytes, anything else as a word. */
export class HeardStream implements StreamSink {
  readonly stream: Stream;
  readonly request: IncomingHttpHeaders | undefined;
  readonly heard: string[] = [];
  readonly bytes: Buffer[] = [];
  /** Called with each word, once it is in `heard`. */
  on: (word: string) => void = () => {};

  constructor(stream: Stream, request?: IncomingHttpHeaders) {
    this.stream = stream;
    this.request = request;
  }

  listen(): this {
    this.stream.open(this);
    this.stream.resume();
    return this;
  }

  /** What has been heard since this was last asked. */
  get said(): string[] {
    return this.heard.splice(0);
  }

  headers(list: Readonly<Record<string, unknown>>): void {
    this.#hear(`headers ${list[':status']}`);
  }

  data(chunk: Buffer): void {
    this.bytes.push(chunk);
    this.#hear(`data ${chunk.length > 20 ? chunk.length : chunk.toString('latin1')}`);
  }

  trailers(list: Readonly<Record<string, unknown>>): void {
    this.#hear(`trailers ${Object.entries(list).flat().join(' ')}`);
  }

  ended(): void {
    this.#hear('ended');
  }

  drained(): void {
    this.#hear('drained');
  }

  closed(code: number): void {
    this.#hear(`closed ${code}`);
  }

  #hear(word: string): void {
    this.heard.push(word);
    this.on(word);
  }
}

/** A client and a server of ours, joined: bytes pass in the next turn at the earliest. */
export function joined(options: Partial<ConnectionOptions> = {}): { client: FramePeer; server: FramePeer } {
  const client = new FramePeer('client', options);
  const server = new FramePeer('server', options);
  join(client.wire, server.wire);
  join(server.wire, client.wire);
  return { client, server };
}

function join(from: Wire, to: Wire): void {
  const spy = from.onWrite;
  from.onWrite = (chunk) => {
    spy(chunk);
    setImmediate(() => to.arrive(Buffer.from(chunk)));
  };
  from.on('finish', () => setImmediate(() => to.push(null)));
  from.on('close', () => setImmediate(() => to.destroy()));
}

export { turn };

export const ANSWER = { ':status': 200 };
export const CALL = { ':method': 'POST', ':scheme': 'http', ':path': '/x' };

/** The client of a server of ours, both having said their first words. */
export async function serverPeer(
  options: Partial<ConnectionOptions> = {},
  handler: Partial<ConnectionHandler> = {},
): Promise<FramePeer> {
  const peer = new FramePeer('server', options, handler);
  await peer.greet();
  return peer;
}

/** The server of a client of ours, both having said their first words. */
export async function clientPeer(
  options: Partial<ConnectionOptions> = {},
  handler: Partial<ConnectionHandler> = {},
): Promise<FramePeer> {
  const peer = new FramePeer('client', options, handler);
  await peer.greet();
  return peer;
}

/** A request of ours, its stream listened to. */
export function ask(peer: FramePeer): HeardStream {
  return new HeardStream(peer.connection.request(CALL)).listen();
}

/** The connection has ended with this code, and says so in GOAWAY. */
export async function endsWith(peer: FramePeer, code: number): Promise<void> {
  const sent = await peer.sent();
  assert.match(sent.at(-1) ?? '', new RegExp(`^GoAway \\d+ ${code}( |$)`));
  assert.ok(peer.connection.destroyed);
  assert.equal(peer.heard.filter((word) => word.startsWith('closed')).length, 1);
}
