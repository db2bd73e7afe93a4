import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http2';
import { Readable, Writable } from 'node:stream';
import { ErrorCode } from '../http2/error_code.ts';
import type { HeaderList } from '../http2/header_list.ts';
import type { Headers, Stream, StreamSink } from '../http2/stream.ts';
import type { Clock } from '../runtime/clock.ts';

/** Mean something to HTTP/1.1 only; HTTP/2 forbids them (RFC 9113, 8.2.2). */
const CONNECTION_HEADERS = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/** A request and its answer on a stream of HTTP/2, for whoever serves both versions: as Node's classes for HTTP/1.1 look. */
export class Http2Messages implements StreamSink {
  readonly request: Http2Request;
  readonly response: Http2Response;

  /** @param clock gives answers a Date, as those of HTTP have one and those of gRPC do not; undefined: none */
  constructor(stream: Stream, headers: IncomingHttpHeaders, rawHeaders: HeaderList, clock?: Clock) {
    this.request = new Http2Request(stream, headers, rawHeaders);
    this.response = new Http2Response(stream, headers[':method'] === 'HEAD', clock);
    stream.open(this);
    if (stream.remoteEnded) stream.resume(); // the end is all there is
  }

  data(chunk: Buffer): void {
    this.request.arrived(chunk);
  }

  ended(): void {
    this.request.arrived(null);
  }

  drained(): void {
    this.response.drained();
  }

  closed(code: number): void {
    const { request, response } = this;
    request.destroy();
    const complete = code === ErrorCode.NoError && response.writableEnded && !response.writableFinished;
    if (complete) response.once('finish', () => response.destroy());
    else response.destroy();
  }
}

/** What Node calls an IncomingMessage, as far as it is used here. */
export class Http2Request extends Readable {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: HeaderList;
  /** No body follows. */
  readonly complete: boolean;
  readonly #stream: Stream;

  constructor(stream: Stream, headers: IncomingHttpHeaders, rawHeaders: HeaderList) {
    super({ autoDestroy: false });
    this.#stream = stream;
    this.method = headers[':method'] ?? '';
    this.url = headers[':path'] ?? '';
    this.headers = headers;
    this.rawHeaders = rawHeaders;
    this.complete = stream.remoteEnded;
  }

  arrived(chunk: Buffer | null): void {
    if (!this.push(chunk)) this.#stream.pause();
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    cut(this.#stream, error);
    done(error);
  }
}

/** What Node calls a ServerResponse, as far as it is used here. */
export class Http2Response extends Writable {
  statusCode = 200;
  headersSent = false;
  readonly #stream: Stream;
  readonly #headOnly: boolean;
  readonly #clock: Clock | undefined;
  #head: Headers | undefined;
  #trailers: Headers | undefined;
  #bodyless = false;
  #written: (() => void) | undefined;

  constructor(stream: Stream, headOnly: boolean, clock: Clock | undefined) {
    super({ autoDestroy: false });
    this.#stream = stream;
    this.#headOnly = headOnly;
    this.#clock = clock;
  }

  /**
   * Leaves with the first bytes of the body, or with `flushHeaders`.
   * @param headers names and values in turn, or by name
   * @throws TypeError, RangeError if they are none
   */
  writeHead(status: number, headers: readonly string[] | Headers): this {
    if (!(status >= 200 && status <= 599)) throw new RangeError(`Invalid status code: ${status}`);
    const head = isList(headers) ? grouped(headers) : headers;
    validate(head);
    this.statusCode = status;
    this.headersSent = true;
    this.#bodyless = this.#headOnly || status === 204 || status === 205 || status === 304;
    this.#head = { ':status': status, ...head };
    return this;
  }

  /** @throws TypeError if they are none */
  addTrailers(trailers: Headers): void {
    validate(trailers);
    this.#trailers = trailers;
  }

  flushHeaders(): void {
    this.#sendHead(false);
  }

  drained(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  override _write(chunk: Buffer, _encoding: string, written: () => void): void {
    this.#sendHead(false);
    // A copy: the writer may use its buffer again as soon as it hears of this, and the bytes may still wait.
    if (this.#bodyless || chunk.length === 0 || this.#stream.write(Buffer.from(chunk))) written();
    else this.#written = written;
  }

  override _final(done: () => void): void {
    this.#sendHead(this.#trailers === undefined);
    this.#stream.end(this.#trailers);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    cut(this.#stream, error);
    this.drained();
    done(error);
  }

  #sendHead(end: boolean): void {
    const head = this.#head;
    if (head === undefined) return;
    this.#head = undefined;
    const now = head.date === undefined ? this.#clock?.wallMs() : undefined;
    const date = now === undefined ? undefined : { date: new Date(now).toUTCString() };
    this.#stream.sendHeaders({ ...head, ...date }, end || this.#bodyless);
  }
}

function cut(stream: Stream, error: Error | null): void {
  if (!stream.closed) stream.reset(error === null ? ErrorCode.Cancel : ErrorCode.InternalError);
}

/** What is no header must not get as far as the encoder, which takes characters for bytes. @throws TypeError */
function validate(headers: Headers): void {
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderName(name);
    for (const each of Array.isArray(value) ? value : [value]) validateHeaderValue(name, String(each));
  }
}

function isList(headers: readonly string[] | Headers): headers is readonly string[] {
  return Array.isArray(headers);
}

function grouped(list: readonly string[]): Headers {
  const headers: Record<string, string | string[]> = Object.create(null); // a name may be that of something that objects have
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i]!.toLowerCase();
    const before = headers[name];
    if (CONNECTION_HEADERS.has(name)) continue;
    headers[name] = before === undefined ? list[i + 1]! : [before, list[i + 1]!].flat();
  }
  return headers;
}
