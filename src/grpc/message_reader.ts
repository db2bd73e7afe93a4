import { gunzip } from '../runtime/gunzip.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { PREFIX_BYTES } from './frame.ts';
import type { GrpcStatus } from './status.ts';

/** What every gRPC server refuses unless told otherwise (docs/protocol/grpc.md, sizes). */
const MAX_MESSAGE_BYTES = 4 << 20;

/** How large a message may be, compressed or not, and who wants to hear of larger ones. */
export interface MessageLimit {
  readonly maxBytes: number;
  readonly exceeded: () => void;
}

export const USUAL_MESSAGES: MessageLimit = { maxBytes: MAX_MESSAGE_BYTES, exceeded: () => {} };

/** Who gets what a reader reads. */
export interface MessageHandler {
  /** One message's payload: a view of what was pushed, or a buffer of its own if it was compressed. */
  messageRead(payload: Buffer): void;
  /** The bytes are no messages, or too large ones. Nothing comes after it. */
  readFailed(status: GrpcStatus): void;
}

const NO_PARTS: Buffer[] = [];
/** So many parts are joined into one if they are crumbs: each is an object of its own, and keeps a whole read alive. */
const JOIN_PARTS = 256;
/** Parts smaller than this, on average, are crumbs. */
const CRUMB_BYTES = 512;

/**
 * Cuts a stream's bytes into gRPC messages and inflates them.
 *
 * A pause holds also in the middle of a chunk: what is left stays undecoded, because one read of 64 KiB may inflate to
 * 64 MiB, which nobody who asked for a pause wants to hold.
 */
export class MessageReader {
  readonly #handler: MessageHandler;
  readonly #limit: MessageLimit;
  #smaller: MessageLimit | undefined;
  readonly #mayBeCompressed: boolean;
  /** Bytes that are no whole message yet; joined only when they are, so that a message costs one copy at the most. */
  #parts = NO_PARTS;
  #partsBytes = 0;
  /** How many of `#parts`, from the first, need not be joined (again). */
  #joined = 0;
  /** How many bytes `#parts` must hold before looking at them is of use. */
  #needed = PREFIX_BYTES;
  #paused = false;
  #reading = false;
  #failed = false;
  #passOn: ((bytes: Buffer) => void) | undefined;

  /** @param mayBeCompressed whether the other side has said, in `grpc-encoding`, that it compresses */
  constructor(handler: MessageHandler, limit: MessageLimit = USUAL_MESSAGES, mayBeCompressed = true) {
    this.#handler = handler;
    this.#limit = limit;
    this.#mayBeCompressed = mayBeCompressed;
  }

  /** Holds from the next message on, beside the limit for all; undefined: that one alone. */
  set smallerLimit(limit: MessageLimit | undefined) {
    this.#smaller = limit;
  }

  /** True when what was pushed ended in the middle of a message, or is held back by a pause. */
  get hasRest(): boolean {
    return this.#partsBytes > 0;
  }

  push(chunk: Buffer): void {
    if (this.#failed) return;
    if (this.#partsBytes === 0 && !this.#paused && !this.#reading) {
      this.#read(chunk);
      return;
    }
    if (this.#parts === NO_PARTS) {
      this.#parts = [chunk];
      this.#joined = 0;
    } else this.#parts.push(chunk);
    this.#partsBytes += chunk.length;
    if (this.#parts.length - this.#joined >= JOIN_PARTS) this.#joinCrumbs();
    this.#readParts();
  }

  pause(): void {
    this.#paused = true;
  }

  /** Goes on with what was held back, at once. */
  resume(): void {
    this.#paused = false;
    this.#readParts();
  }

  /** Drops what is held back and everything that is still to come. */
  stop(): void {
    this.#failed = true;
    this.#passOn = undefined;
    this.#parts = NO_PARTS;
    this.#partsBytes = 0;
  }

  /**
   * From the next message on nothing is cut, measured or inflated any more: `f` gets the bytes as they come. What is held back
   * by then comes first; a pause holds as before.
   */
  passThrough(f: (bytes: Buffer) => void): void {
    this.#passOn = f;
    this.#needed = 1;
    this.#readParts();
  }

  /** A message in frames of one byte must not weigh a hundred times what it says. Each byte is copied once at the most. */
  #joinCrumbs(): void {
    const parts = this.#parts;
    const last = parts.slice(this.#joined);
    const bytes = last.reduce((sum, part) => sum + part.length, 0);
    if (bytes < last.length * CRUMB_BYTES) parts.splice(this.#joined, last.length, Buffer.concat(last, bytes));
    this.#joined = parts.length;
  }

  #readParts(): void {
    if (this.#paused || this.#reading || this.#partsBytes < this.#needed) return;
    const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#partsBytes);
    this.#parts = NO_PARTS;
    this.#partsBytes = 0;
    this.#read(bytes);
  }

  #read(bytes: Buffer): void {
    if (this.#passOn !== undefined) {
      this.#passOn(bytes);
      return;
    }
    let at = 0;
    this.#needed = PREFIX_BYTES;
    this.#reading = true;
    while (!this.#paused && !this.#failed && this.#passOn === undefined) {
      if (bytes.length - at < PREFIX_BYTES) break;
      const flag = bytes[at]!;
      const length = bytes.readUInt32BE(at + 1);
      const limit = this.#limitFor(length);
      if (length > limit.maxBytes) {
        this.#tooLarge(limit, `grpc: received message larger than max (${length} vs. ${limit.maxBytes})`);
        break;
      }
      const end = at + PREFIX_BYTES + length;
      if (end > bytes.length) {
        this.#needed = PREFIX_BYTES + length;
        break;
      }
      const payload = bytes.subarray(at + PREFIX_BYTES, end);
      at = end;
      if (flag === 0) this.#handler.messageRead(payload);
      else this.#inflate(flag, payload);
    }
    this.#reading = false;
    if (at < bytes.length && !this.#failed) {
      // A handler may have fed more while we were reading: what is left of these bytes comes before it.
      this.#parts = [at === 0 ? bytes : bytes.subarray(at), ...this.#parts];
      this.#joined = 0;
      this.#partsBytes += bytes.length - at;
    }
    if (this.#passOn !== undefined) this.#needed = 1;
    this.#readParts(); // what a handler fed, if anything, and what is to be passed on
  }

  /** Who exceeds the limit for all hears of that one, as everywhere. */
  #limitFor(bytes: number): MessageLimit {
    return this.#smaller === undefined || bytes > this.#limit.maxBytes ? this.#limit : this.#smaller;
  }

  #tooLarge(limit: MessageLimit, message: string): void {
    limit.exceeded();
    this.#fail(StatusCode.ResourceExhausted, message);
  }

  #inflate(flag: number, payload: Buffer): void {
    if (flag !== 1) {
      this.#fail(StatusCode.Internal, `grpc: received unexpected payload format ${flag}`);
      return;
    }
    if (!this.#mayBeCompressed) {
      this.#fail(StatusCode.Internal, 'grpc: compressed flag set with identity or empty encoding');
      return;
    }
    if (payload.length === 0) {
      this.#handler.messageRead(payload);
      return;
    }
    const inflated = gunzip(payload, this.#limitFor(0).maxBytes);
    if (inflated === 'too large') {
      // As upstream's library, which stops reading behind the limit where less was announced.
      const announced = payload.readUInt32LE(payload.length - 4);
      const limit = this.#limitFor(announced);
      const { maxBytes } = limit;
      const bytes = announced > maxBytes ? announced : maxBytes + 1;
      this.#tooLarge(limit, `grpc: received message after decompression larger than max (${bytes} vs. ${maxBytes})`);
    } else if (typeof inflated === 'string') {
      this.#fail(StatusCode.Internal, `grpc: failed to decompress the received message: ${inflated}`);
    } else this.#handler.messageRead(inflated);
  }

  #fail(code: StatusCode, message: string): void {
    this.stop();
    this.#handler.readFailed({ code, message });
  }
}
