import { Flag, FRAME_HEADER_BYTES, FrameType, MAX_FRAME_BYTES } from './frame.ts';

/** Hears what a peer sends, in its order. */
export interface FrameSink {
  /** A frame has begun. False: whatever its type, its payload is of no interest. */
  begun(type: number, flags: number, streamId: number, length: number): boolean;
  /** A part of the payload of DATA. `end`: the stream ends with it. */
  data(streamId: number, chunk: Buffer, end: boolean): void;
  /** Any other frame, and DATA that is padded; the payload is a view that keeps a larger buffer alive. */
  frame(type: number, flags: number, streamId: number, payload: Buffer): void;
  frameTooLong(): void;
}

/**
 * Cuts a connection's bytes into frames. The payload of DATA goes on as it comes, without a copy and without waiting for its end;
 * of others at most one frame is kept.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  /** Of a frame header that came in parts. */
  #head: Buffer | undefined;
  #headBytes = 0;
  /** The frame that is being read. */
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Bytes of its payload that are still to come. */
  #left = 0;
  #streamed = false;
  #skipped = false;
  #payload: Buffer | undefined;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Nothing that still comes is of interest. */
  stop(): void {
    this.#stopped = true;
    this.#payload = undefined;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped)
      at = this.#left > 0 ? this.#readPayload(chunk, at) : this.#readHead(chunk, at);
  }

  #readHead(chunk: Buffer, start: number): number {
    if (this.#headBytes === 0 && chunk.length - start >= FRAME_HEADER_BYTES) {
      this.#begin(chunk, start);
      return start + FRAME_HEADER_BYTES;
    }
    this.#head ??= Buffer.allocUnsafe(FRAME_HEADER_BYTES);
    const taken = Math.min(FRAME_HEADER_BYTES - this.#headBytes, chunk.length - start);
    chunk.copy(this.#head, this.#headBytes, start, start + taken);
    this.#headBytes += taken;
    if (this.#headBytes === FRAME_HEADER_BYTES) {
      this.#headBytes = 0;
      this.#begin(this.#head, 0);
    }
    return start + taken;
  }

  #begin(bytes: Buffer, at: number): void {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (length > MAX_FRAME_BYTES) {
      this.#sink.frameTooLong();
      return;
    }
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const streamId = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
    this.#type = type;
    this.#flags = flags;
    this.#streamId = streamId;
    this.#left = length;
    this.#skipped = !this.#sink.begun(type, flags, streamId, length);
    this.#streamed = type === FrameType.Data && (flags & Flag.Padded) === 0;
    if (length === 0 && !this.#stopped) this.#deliver(EMPTY);
  }

  #readPayload(chunk: Buffer, start: number): number {
    const end = Math.min(chunk.length, start + this.#left);
    if (this.#skipped) this.#left -= end - start;
    else if (this.#streamed) {
      this.#left -= end - start;
      this.#sink.data(this.#streamId, chunk.subarray(start, end), this.#left === 0 && this.#endsStream);
    } else if (this.#payload === undefined && end - start === this.#left) {
      this.#left = 0;
      this.#deliver(chunk.subarray(start, end));
    } else this.#gather(chunk, start, end);
    return end;
  }

  #gather(chunk: Buffer, start: number, end: number): void {
    this.#payload ??= Buffer.allocUnsafe(this.#left);
    const payload = this.#payload;
    chunk.copy(payload, payload.length - this.#left, start, end);
    this.#left -= end - start;
    if (this.#left > 0) return;
    this.#payload = undefined;
    this.#deliver(payload);
  }

  get #endsStream(): boolean {
    return (this.#flags & Flag.EndStream) !== 0;
  }

  #deliver(payload: Buffer): void {
    if (this.#skipped) return;
    if (this.#streamed) this.#sink.data(this.#streamId, payload, this.#endsStream);
    else this.#sink.frame(this.#type, this.#flags, this.#streamId, payload);
  }
}

const EMPTY = Buffer.alloc(0);
