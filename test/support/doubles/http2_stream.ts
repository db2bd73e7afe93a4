import type { CallStream } from '../../../src/grpc/server_call.ts';
import type { Headers, StreamSink } from '../../../src/http2/stream.ts';

/** A server's HTTP/2 stream without a connection: what a client would see is recorded, and its side is played by the test. */
export class FakeHttp2Stream implements CallStream {
  closed = false;
  /** What `write` returns. */
  ready = true;
  headers: Headers | undefined;
  /** Of an answer without messages these are the headers. */
  trailers: Headers | undefined;
  /** How often headers, messages and trailers were sent, in order. */
  readonly sent: string[] = [];
  readonly #written: Buffer[] = [];
  #sink: StreamSink | undefined;
  #arrived: Buffer[] = [];
  #paused = true;
  #clientDone = false;

  get paused(): boolean {
    return this.#paused;
  }

  /** The bytes of the body so far. */
  get written(): Buffer {
    return Buffer.concat(this.#written);
  }

  // ---- what the server does

  open(sink: StreamSink): void {
    this.#sink = sink;
  }

  sendHeaders(headers: Headers, end = false): void {
    this.#mustBeOpen();
    if (this.headers !== undefined) throw new Error('headers sent twice');
    this.sent.push('headers');
    this.headers = headers;
    if (end) this.trailers = headers;
  }

  write(bytes: Buffer): boolean {
    this.#mustBeOpen();
    this.sent.push('data');
    this.#written.push(bytes);
    return this.ready;
  }

  end(trailers?: Headers): void {
    this.#mustBeOpen();
    this.sent.push('trailers');
    this.trailers = trailers;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
  }

  // ---- what the client does

  receive(bytes: Buffer): void {
    this.#arrived.push(bytes);
    this.#deliver();
  }

  receiveEnd(): void {
    this.#clientDone = true;
    this.#deliver();
  }

  /** The client has read what was written. */
  drain(): void {
    this.#sink?.drained();
  }

  /** The client resets the stream, or its connection breaks. */
  lose(): void {
    this.closed = true;
    this.#sink?.closed(8);
  }

  #deliver(): void {
    for (let chunk = this.#next(); chunk !== undefined; chunk = this.#next()) this.#sink?.data(chunk);
    if (this.#paused || !this.#clientDone) return;
    this.#clientDone = false;
    this.#sink?.ended();
  }

  #next(): Buffer | undefined {
    return this.#paused ? undefined : this.#arrived.shift();
  }

  #mustBeOpen(): void {
    if (this.trailers !== undefined) throw new Error('the answer is complete');
  }
}
