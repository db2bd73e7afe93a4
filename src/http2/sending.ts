import type { Writable } from 'node:stream';
import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { Flag, FrameType, MAX_FRAME_BYTES } from './frame.ts';
import { Output } from './output.ts';
import { DEFAULT_TABLE_BYTES, DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES } from './settings.ts';
import type { Stream } from './stream.ts';

const NOTHING = Buffer.alloc(0);
/** "My dynamic table has no room" (RFC 7541, 6.3). */
const NO_TABLE = Buffer.from([0x20]);

/** What leaves on a connection: frames, as the peer's windows and the transport allow (RFC 9113, 5.2). */
export class Sending {
  readonly output: Output;
  /** Data has left since the peer last pinged. */
  dataSent = false;
  /** What the peer takes on all streams together. */
  #window = DEFAULT_WINDOW_BYTES;
  /** Streams with data to send, in their turn. */
  #waiting: Set<Stream> | undefined;
  #tableUpdateDue = false;

  constructor(transport: Writable) {
    this.output = new Output(transport, () => this.#sendWaiting());
  }

  /** Sends a header block, in as many frames as it takes. */
  headers(streamId: number, block: Buffer, end: boolean): void {
    const whole = this.#tableUpdateDue ? Buffer.concat([NO_TABLE, block]) : block;
    this.#tableUpdateDue = false;
    let type: number = FrameType.Headers;
    let at = 0;
    do {
      const part = whole.subarray(at, at + MAX_FRAME_BYTES);
      const endStream = end && at === 0 ? Flag.EndStream : 0;
      at += part.length;
      const endHeaders = at === whole.length ? Flag.EndHeaders : 0;
      this.output.frame(type, endStream | endHeaders, streamId, part);
      type = FrameType.Continuation;
    } while (at < whole.length);
  }

  /**
   * Sends as much data as the windows and the transport take.
   * @param end goes along with the last byte
   * @returns how many bytes that were
   */
  data(stream: Stream, bytes: Buffer, end: boolean): number {
    let at = 0;
    while (at < bytes.length && !this.output.full) {
      const size = Math.min(bytes.length - at, MAX_FRAME_BYTES, stream.sendWindow, this.#window);
      if (size <= 0) break;
      this.dataSent = true;
      stream.sendWindow -= size;
      this.#window -= size;
      const flags = end && at + size === bytes.length ? Flag.EndStream : 0;
      const payload = size === bytes.length ? bytes : bytes.subarray(at, at + size);
      this.output.frame(FrameType.Data, flags, stream.id, payload);
      at += size;
    }
    return at;
  }

  /** The end of a stream's data, by itself. */
  endOfData(streamId: number): void {
    this.output.frame(FrameType.Data, Flag.EndStream, streamId, NOTHING);
  }

  /** The stream has more to send than it could. */
  wait(stream: Stream): void {
    this.#waiting ??= new Set();
    this.#waiting.add(stream);
  }

  forget(stream: Stream): void {
    this.#waiting?.delete(stream);
  }

  /** The peer takes so many bytes more on all streams together. @throws ConnectionError */
  enlarge(bytes: number): void {
    if (bytes === 0) throw new ConnectionError(ErrorCode.ProtocolError, 'WINDOW_UPDATE of nothing');
    this.#window += bytes;
    if (this.#window > MAX_WINDOW_BYTES) throw tooLarge();
    this.#sendWaiting();
  }

  /** The same for one stream. False: that is more than a window can be. */
  enlargeStream(stream: Stream, bytes: number): boolean {
    stream.sendWindow += bytes;
    if (stream.sendWindow > MAX_WINDOW_BYTES) return false;
    if (stream.hasQueue) this.wait(stream);
    this.#sendWaiting();
    return true;
  }

  /** The peer gives all streams larger windows, or smaller ones, so that some may be below zero (RFC 9113, 6.9.2). @throws ConnectionError */
  resizeStreams(streams: Iterable<Stream>, change: number): void {
    if (change === 0) return;
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW_BYTES) throw tooLarge();
      if (stream.hasQueue) this.wait(stream);
    }
    this.#sendWaiting();
  }

  /** The peer remembers fewer header fields than it would by default. We let it remember none, and have to say so (RFC 7541, 4.2). */
  limitTable(bytes: number): void {
    if (bytes < DEFAULT_TABLE_BYTES) this.#tableUpdateDue = true;
  }

  #sendWaiting(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    for (const stream of waiting) {
      if (this.output.full || this.#window <= 0) return;
      waiting.delete(stream);
      // To the end of the line, if it can go on; one that its own window stops is woken by WINDOW_UPDATE.
      if (!stream.sendQueued() && stream.sendWindow > 0) waiting.add(stream);
    }
  }
}

function tooLarge(): ConnectionError {
  return new ConnectionError(ErrorCode.FlowControlError, 'a window of more than 2^31-1 bytes');
}
