import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { dial, type Endpoint } from '../endpoint.ts';
import { Flag, FrameType, frame, PREFACE, settings } from './frames.ts';

/** A client of HTTP/2 that sends what it is told, however wrong, and counts what it gets. */
export class RawHttp2 {
  readonly transport: Duplex;
  /** Frames received, by type. */
  readonly received = new Map<number, number>();
  /** The code of the server's GOAWAY. */
  goAway: number | undefined;
  readonly closed: Promise<void>;
  /** Answer SETTINGS and PING as one should. */
  polite = true;
  onFrame: ((type: number, flags: number, stream: number, payload: Buffer) => void) | undefined;
  #rest = Buffer.alloc(0);

  constructor(transport: Duplex) {
    this.transport = transport;
    transport.on('error', () => {});
    transport.on('data', (chunk: Buffer) => this.#read(chunk));
    this.closed = new Promise((resolve) => transport.once('close', () => resolve()));
  }

  /** Connects, sends the preface and these settings. */
  static async connect(endpoint: Endpoint, own: Readonly<Record<number, number>> = {}): Promise<RawHttp2> {
    const client = new RawHttp2(await dial(endpoint, ['h2']));
    client.transport.write(Buffer.concat([PREFACE, settings(own)]));
    return client;
  }

  get ended(): boolean {
    return this.transport.destroyed || this.transport.writableEnded;
  }

  count(type: number): number {
    return this.received.get(type) ?? 0;
  }

  /** Sends, and waits until the socket takes more. False: the connection is gone. */
  async send(bytes: Buffer): Promise<boolean> {
    if (this.ended) return false;
    if (!this.transport.write(bytes)) await Promise.race([once(this.transport, 'drain').catch(() => {}), this.closed]);
    return !this.ended;
  }

  /** Reads no more: what the server sends stays with it. */
  stall(): void {
    this.transport.pause();
  }

  close(): void {
    this.transport.destroy();
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 9) {
      const length = bytes.readUIntBE(0, 3);
      if (bytes.length < 9 + length) break;
      this.#take(bytes[3] ?? 0, bytes[4] ?? 0, bytes.readUInt32BE(5), bytes.subarray(9, 9 + length));
      bytes = bytes.subarray(9 + length);
    }
    this.#rest = Buffer.from(bytes);
  }

  #take(type: number, flags: number, stream: number, payload: Buffer): void {
    this.received.set(type, this.count(type) + 1);
    if (type === FrameType.GoAway) this.goAway = payload.readUInt32BE(4);
    const answers = this.polite && (type === FrameType.Settings || type === FrameType.Ping) && !(flags & Flag.Ack);
    if (answers && !this.ended)
      this.transport.write(frame(type, Flag.Ack, 0, type === FrameType.Ping ? payload : Buffer.alloc(0)));
    this.onFrame?.(type, flags, stream, payload);
  }
}
