import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type ResponseEvents, ResponseParser } from './http_response_parser.ts';
import type { Cluster } from './options.ts';

const DIAL_TIMEOUT_MS = 30_000;

/** A connection and its parser; whichever exchange has it gets the events. */
export class KubeConnection {
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

/** A new connection to the API server; it may still be connecting. */
export function dialKube(url: URL, cluster: Cluster): Socket {
  const { hostname, protocol } = url;
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  const tls = protocol === 'https:';
  const port = Number(url.port || (tls ? 443 : 80));
  const { ca, clientCert, clientKey, insecureSkipTlsVerify, tlsServerName } = cluster;
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
