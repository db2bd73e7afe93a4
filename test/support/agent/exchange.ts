import type { ResponseHead } from './http_response_parser.ts';
import type { KubeConnection } from './kube_connection.ts';

export interface ExchangeRequest {
  readonly method: string;
  /** Request line and headers, with the empty line. */
  readonly head: Buffer;
  /** Whether a chunked body follows. */
  readonly chunked: boolean;
  /** Asks for a connection of its own that becomes a byte stream after a 101. */
  readonly upgrade: boolean;
}

/** Exactly one of `end` and `error` comes, last. After an upgrade, `data` are the connection's bytes and `end` is its end. */
export interface ExchangeEvents {
  head(head: ResponseHead): void;
  /** A `100 Continue` came, or the server has answered without. */
  proceed(): void;
  data(chunk: Buffer): void;
  end(): void;
  error(text: string): void;
  /** Writing may go on. */
  drain(): void;
}

/** Where connections come from. */
interface ConnectionPool {
  /** A connection for one exchange: an idle one, or a new one if there is none or `fresh` is wanted. */
  take(fresh: boolean): KubeConnection;
  /** For another exchange. */
  giveBack(connection: KubeConnection): void;
}

/** One request and its response. */
export class Exchange {
  readonly #pool: ConnectionPool;
  readonly #request: ExchangeRequest;
  readonly #events: ExchangeEvents;
  #connection: KubeConnection;
  #pooled = true;
  #bodySent: boolean;
  #upgraded = false;
  #over = false;

  constructor(pool: ConnectionPool, request: ExchangeRequest, events: ExchangeEvents) {
    this.#pool = pool;
    this.#request = request;
    this.#events = events;
    this.#bodySent = !request.chunked;
    this.#connection = this.#begin(request.upgrade);
  }

  /** One chunk of the body, or bytes of the upgraded connection. False: wait for `drain`. */
  write(chunk: Buffer): boolean {
    const { socket } = this.#connection;
    if (this.#over || socket.destroyed) return true;
    if (this.#upgraded) return socket.write(chunk);
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`);
    socket.write(chunk);
    const more = socket.write('\r\n');
    socket.uncork();
    return more;
  }

  endBody(): void {
    if (this.#bodySent || this.#over || this.#connection.socket.destroyed) return;
    this.#bodySent = true;
    this.#connection.socket.write('0\r\n\r\n');
  }

  /** Stops reading the answer. Nothing once it is complete: the connection may be somebody else's by then. */
  pause(): void {
    if (!this.#over) this.#connection.socket.pause();
  }

  resume(): void {
    if (!this.#over) this.#connection.socket.resume();
  }

  /** Gives up; no event comes any more. */
  abort(): void {
    if (this.#over && !this.#upgraded) return;
    this.#over = true;
    this.#connection.user = undefined;
    this.#connection.socket.destroy();
  }

  #begin(fresh: boolean): KubeConnection {
    const connection = this.#pool.take(fresh);
    this.#pooled = !fresh && connection.socket.bytesRead > 0;
    const { method, head, upgrade } = this.#request;
    connection.parser.expect(method, upgrade);
    connection.user = {
      head: (h) => {
        this.#upgraded = upgrade && h.statusCode === 101;
        this.#events.proceed();
        this.#events.head(h);
      },
      informational: (code) => {
        if (code === 100) this.#events.proceed();
      },
      data: (chunk) => this.#events.data(chunk),
      end: (reusable) => this.#complete(reusable && this.#bodySent && !upgrade),
      gone: (error) => this.#gone(error),
      drain: () => this.#events.drain(),
    };
    connection.socket.write(head);
    return connection;
  }

  #complete(reusable: boolean): void {
    if (this.#over) return;
    this.#over = true;
    const connection = this.#connection;
    connection.user = undefined;
    if (reusable && !connection.ended) {
      connection.socket.resume();
      this.#pool.giveBack(connection);
    } else connection.socket.destroy();
    this.#events.end();
  }

  #gone(error: string): void {
    if (this.#over) return;
    const { parser } = this.#connection;
    // An idle connection that the server had closed meanwhile: Go tries again on a new one if there is no body.
    if (this.#pooled && parser.untouched && !this.#request.chunked) {
      this.#connection.user = undefined;
      this.#connection.socket.destroy();
      this.#connection = this.#begin(true);
      return;
    }
    if (this.#upgraded && error === '') {
      this.#over = true;
      this.#events.end();
      return;
    }
    this.#over = true;
    this.#connection.user = undefined;
    this.#connection.socket.destroy();
    this.#events.error(error);
  }
}
