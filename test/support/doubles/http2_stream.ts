import { EventEmitter } from 'node:events';
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';

/** A server's HTTP/2 stream without a connection: what a client would see is recorded, and its side is played by the test. */
export class FakeHttp2Stream extends EventEmitter {
  destroyed = false;
  closed = false;
  writableLength = 0;
  /** What `write` returns. */
  ready = true;
  headers: OutgoingHttpHeaders | undefined;
  /** Of an answer without messages these are the headers. */
  trailers: OutgoingHttpHeaders | undefined;
  resetCode: number | undefined;
  /** How often headers, messages and trailers were sent, in order. */
  readonly sent: string[] = [];
  readonly session = { state: { outboundQueueSize: 0 } };
  readonly #written: Buffer[] = [];
  #arrived: Buffer[] = [];
  #paused = false;
  #clientDone = false;

  get asServerStream(): ServerHttp2Stream {
    return this as unknown as ServerHttp2Stream;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** The bytes of the body so far. */
  get written(): Buffer {
    return Buffer.concat(this.#written);
  }

  // ---- what the server does

  respond(headers: OutgoingHttpHeaders, options: { endStream?: boolean; sendDate?: boolean } = {}): void {
    this.#mustBeAlive();
    if (this.headers !== undefined) throw new Error('headers sent twice');
    this.sent.push('headers');
    this.headers = options.sendDate === false ? headers : { ...headers, date: 'now' };
    if (options.endStream) this.trailers = this.headers;
  }

  write(bytes: Buffer): boolean {
    this.#mustBeAlive();
    this.sent.push('data');
    this.#written.push(bytes);
    return this.ready;
  }

  cork(): void {}

  uncork(): void {}

  end(): void {
    this.#mustBeAlive();
    this.emit('wantTrailers');
  }

  sendTrailers(trailers: OutgoingHttpHeaders): void {
    this.#mustBeAlive();
    if (this.trailers !== undefined) throw new Error('trailers sent twice');
    this.sent.push('trailers');
    this.trailers = trailers;
  }

  close(code: number): void {
    this.closed = true;
    this.resetCode = code;
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

  /** The client resets the stream, or its connection breaks. */
  lose(): void {
    this.destroyed = true;
    this.closed = true;
    this.emit('close');
  }

  #deliver(): void {
    while (!this.#paused && this.#arrived.length > 0) this.emit('data', this.#arrived.shift());
    if (this.#paused || !this.#clientDone) return;
    this.#clientDone = false;
    this.emit('end');
  }

  #mustBeAlive(): void {
    if (this.destroyed || this.closed) throw new Error('the stream is gone');
  }
}
