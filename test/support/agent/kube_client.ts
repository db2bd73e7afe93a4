import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type ResponseEvents, type ResponseHead, ResponseParser } from './http_response_parser.ts';
import type { Cluster } from './options.ts';

const DIAL_TIMEOUT_MS = 30_000;

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

/** Pooled HTTP/1.1 connections to one kube-apiserver. */
export class KubeClient {
  readonly cluster: Cluster;
  readonly url: URL;
  readonly #idle: PooledConnection[] = [];
  readonly #all = new Set<PooledConnection>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.url = new URL(cluster.server);
  }

  /** Sends a request's head; body and answer go through the exchange. */
  start(request: ExchangeRequest, events: ExchangeEvents): Exchange {
    return new Exchange(this, request, events);
  }

  close(): void {
    for (const connection of this.#all) connection.socket.destroy();
  }

  /** A connection for one exchange: an idle one, or a new one if there is none or `fresh` is wanted. */
  take(fresh: boolean): PooledConnection {
    for (let c = fresh ? undefined : this.#idle.pop(); c !== undefined; c = this.#idle.pop()) {
      if (!c.socket.destroyed && !c.ended) return c;
    }
    const connection = new PooledConnection(this.#dial());
    this.#all.add(connection);
    connection.socket.once('close', () => {
      this.#all.delete(connection);
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return connection;
  }

  giveBack(connection: PooledConnection): void {
    this.#idle.push(connection);
  }

  #dial(): Socket {
    const { hostname, protocol } = this.url;
    const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
    const tls = protocol === 'https:';
    const port = Number(this.url.port || (tls ? 443 : 80));
    const { ca, clientCert, clientKey, insecureSkipTlsVerify, tlsServerName } = this.cluster;
    const servername = tlsServerName ?? (isIP(host) ? undefined : host);
    const socket: Socket = tls
      ? connectTls({
          host,
          port,
          ALPNProtocols: ['http/1.1'],
          rejectUnauthorized: insecureSkipTlsVerify !== true,
          ...(ca === undefined ? {} : { ca }),
          ...(clientCert === undefined ? {} : { cert: clientCert }),
          ...(clientKey === undefined ? {} : { key: clientKey }),
          ...(servername === undefined ? {} : { servername }),
        })
      : connectTcp({ host, port, allowHalfOpen: true });
    socket.setNoDelay(true);
    socket.setTimeout(DIAL_TIMEOUT_MS, () => socket.destroy(new Error('i/o timeout')));
    socket.once(tls ? 'secureConnect' : 'connect', () => socket.setTimeout(0));
    return socket;
  }
}

/** A connection and its parser; whichever exchange has it gets the events. */
class PooledConnection {
  readonly socket: Socket;
  readonly parser: ResponseParser;
  user: (ResponseEvents & { gone(error: string): void; drain(): void }) | undefined;
  /** The other side has ended it. */
  ended = false;
  #failure: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    this.parser = new ResponseParser({
      head: (head) => this.user?.head(head),
      informational: (code) => this.user?.informational(code),
      data: (chunk) => this.user?.data(chunk),
      end: (reusable) => this.user?.end(reusable),
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        this.parser.push(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', (error) => {
      this.#failure = goErrorText(error);
    });
    socket.on('end', () => {
      this.ended = true;
      this.#over();
    });
    socket.on('close', () => this.#over());
    socket.on('drain', () => this.user?.drain());
  }

  #over(): void {
    const whole = this.parser.finish();
    const user = this.user;
    if (user === undefined) this.socket.destroy();
    else user.gone(this.#failure ?? (whole ? '' : this.parser.headPending ? 'EOF' : 'unexpected EOF'));
  }
}

/** One request and its response. */
class Exchange {
  readonly #client: KubeClient;
  readonly #request: ExchangeRequest;
  readonly #events: ExchangeEvents;
  #connection: PooledConnection;
  #pooled = true;
  #bodySent: boolean;
  #upgraded = false;
  #over = false;

  constructor(client: KubeClient, request: ExchangeRequest, events: ExchangeEvents) {
    this.#client = client;
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

  pause(): void {
    this.#connection.socket.pause();
  }

  resume(): void {
    this.#connection.socket.resume();
  }

  /** Gives up; no event comes any more. */
  abort(): void {
    if (this.#over && !this.#upgraded) return;
    this.#over = true;
    this.#connection.user = undefined;
    this.#connection.socket.destroy();
  }

  #begin(fresh: boolean): PooledConnection {
    const connection = this.#client.take(fresh);
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
      this.#client.giveBack(connection);
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

export type { Exchange };

type SocketError = Error & { code?: string; address?: string; port?: number };

/** What Go says for the commonest failures. */
function goErrorText(error: SocketError | AggregateError): string {
  const inner = error instanceof AggregateError ? (error.errors[0] as SocketError) : error;
  const place =
    inner.address === undefined
      ? ''
      : isIP(inner.address) === 6
        ? `[${inner.address}]:${inner.port}`
        : `${inner.address}:${inner.port}`;
  switch (inner.code) {
    case 'ECONNREFUSED':
      return `dial tcp ${place}: connect: connection refused`;
    case 'ECONNRESET':
    case 'EPIPE':
      return 'unexpected EOF';
    default:
      return inner.message;
  }
}
