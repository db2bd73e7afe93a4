import { MAX_HEAD_BYTES } from '../transport_limits.ts';
import { parseResponseHead, type ResponseHead } from './response_head.ts';

const MAX_CHUNK_LINE_BYTES = 4 << 10;
const EMPTY = Buffer.alloc(0);

/** Hears of an answer as it comes. */
export interface ResponseSink {
  head(head: ResponseHead): void;
  data(piece: Buffer): void;
  end(): void;
}

/** What the next bytes are. */
type State = 'head' | 'body' | 'until close' | 'chunk line' | 'chunk' | 'chunk end' | 'trailer' | 'over';

/** Reads one answer to a GET or POST from the bytes of a connection (RFC 9112). */
export class ResponseReader {
  readonly #sink: ResponseSink;
  #state: State = 'head';
  /** What came, and does not make a whole line yet. */
  #rest: Buffer = EMPTY;
  /** Bytes of the body or of its chunk that are still to come. */
  #left = 0;
  #trailerBytes = 0;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** @throws Error if that is no answer, or more than one */
  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = EMPTY;
    while (bytes.length > 0) {
      const taken = this.#take(bytes);
      if (taken === 0) {
        this.#rest = bytes;
        return;
      }
      bytes = bytes.subarray(taken);
    }
  }

  /** The connection has ended. False: in the middle of the answer. */
  ended(): boolean {
    if (this.#state === 'until close') this.#end();
    return this.#state === 'over';
  }

  /** How many bytes were of use; 0: there are too few yet. */
  #take(bytes: Buffer): number {
    switch (this.#state) {
      case 'head':
        return this.#takeHead(bytes);
      case 'body':
      case 'chunk':
      case 'until close':
        return this.#takeData(bytes);
      case 'chunk line':
        return this.#takeChunkLine(bytes);
      case 'chunk end':
        return this.#takeChunkEnd(bytes);
      case 'trailer':
        return this.#takeTrailer(bytes);
      case 'over':
        throw new Error('the answer is longer than it says');
    }
  }

  #takeHead(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n');
    if ((end < 0 ? bytes.length : end) > MAX_HEAD_BYTES) throw new Error('the head of the answer is too long');
    if (end < 0) return 0;
    const head = parseResponseHead(bytes.toString('latin1', 0, end));
    if (head.status === 101) throw new Error('the answer changes the protocol');
    // Others below 200 come before the answer proper.
    if (head.status >= 200) this.#begin(head);
    return end + 4;
  }

  #begin(head: ResponseHead): void {
    this.#sink.head(head);
    if (head.body === 'chunked') this.#state = 'chunk line';
    else if (head.body === 'until close') this.#state = 'until close';
    else if (head.body === 0) this.#end();
    else {
      this.#state = 'body';
      this.#left = head.body;
    }
  }

  #takeData(bytes: Buffer): number {
    if (this.#state === 'until close') {
      this.#sink.data(bytes);
      return bytes.length;
    }
    const taken = Math.min(bytes.length, this.#left);
    this.#left -= taken;
    this.#sink.data(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    if (this.#left === 0) {
      if (this.#state === 'chunk') this.#state = 'chunk end';
      else this.#end();
    }
    return taken;
  }

  #takeChunkLine(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n');
    if ((end < 0 ? bytes.length : end) > MAX_CHUNK_LINE_BYTES) throw new Error('the answer has too long a chunk line');
    if (end < 0) return 0;
    const [, size] = /^([\da-fA-F]{1,8})[ \t]*(?:;|$)/.exec(bytes.toString('latin1', 0, end)) ?? [];
    if (size === undefined) throw new Error('the answer has a chunk without a size');
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailer' : 'chunk';
    return end + 2;
  }

  #takeChunkEnd(bytes: Buffer): number {
    if (bytes.length < 2) return 0;
    if (bytes[0] !== 13 || bytes[1] !== 10) throw new Error('the answer has a chunk that is longer than it says');
    this.#state = 'chunk line';
    return 2;
  }

  /** Nobody reads trailers. */
  #takeTrailer(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n');
    this.#trailerBytes += end < 0 ? 0 : end + 2;
    if (this.#trailerBytes + (end < 0 ? bytes.length : 0) > MAX_HEAD_BYTES) {
      throw new Error('the trailer of the answer is too long');
    }
    if (end < 0) return 0;
    if (end === 0) this.#end();
    return end + 2;
  }

  #end(): void {
    this.#state = 'over';
    this.#sink.end();
  }
}
