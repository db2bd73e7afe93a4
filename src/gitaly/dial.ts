import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import type { Clock } from '../runtime/clock.ts';
import { inUrl } from './address.ts';

/** A Gitaly that takes longer is as good as down; the same time as gRPC clients in Go allow. */
const CONNECT_TIMEOUT_MS = 20_000;

/** One place to connect to: names have been resolved as far as we do so ourselves. */
export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'tls'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** The endpoint's origin: it makes `:scheme` and `:authority`. */
export function originOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return 'http://localhost';
  return `${endpoint.kind === 'tls' ? 'https' : 'http'}://${inUrl(endpoint.host)}:${endpoint.port}`;
}

/** What tells endpoints apart, for people too. */
export function addressOf(endpoint: Endpoint): string {
  return endpoint.kind === 'unix' ? `unix:${endpoint.path}` : originOf(endpoint);
}

/** A socket that is connecting; it fails by itself when that takes too long. Errors are the caller's to listen for. */
export function dial(endpoint: Endpoint, secureContext: () => SecureContext, clock: Clock): Socket {
  const socket = open(endpoint, secureContext);
  const timer = clock.startTimer(CONNECT_TIMEOUT_MS, () => {
    socket.destroy(Object.assign(new Error('connecting took too long'), { code: 'ETIMEDOUT' }));
  });
  socket.once(endpoint.kind === 'tls' ? 'secureConnect' : 'connect', () => timer.stop());
  socket.once('close', () => timer.stop());
  return socket;
}

function open(endpoint: Endpoint, secureContext: () => SecureContext): Socket {
  if (endpoint.kind === 'unix') return connectTcp({ path: endpoint.path });
  const { host, port } = endpoint;
  if (endpoint.kind === 'tcp') return connectTcp({ host, port, noDelay: true });
  return connectTls({
    host,
    port,
    secureContext: secureContext(),
    ALPNProtocols: ['h2'],
    ...(isIP(host) === 0 && { servername: host }),
  });
}

const ERRNO_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  ENOENT: 'connect: no such file or directory',
  EACCES: 'connect: permission denied',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
  ECONNRESET: 'read: connection reset by peer',
};

/** Why an endpoint cannot be reached, in the words that Go programs use (docs/protocol/gitaly.md). */
export function dialErrorText(endpoint: Endpoint, error: unknown): string {
  const place = endpoint.kind === 'unix' ? `unix ${endpoint.path}` : `tcp ${inUrl(endpoint.host)}:${endpoint.port}`;
  const cause = rootCause(error);
  if (cause.code === 'ENOTFOUND' && endpoint.kind !== 'unix') {
    return `transport: Error while dialing: dial tcp: lookup ${endpoint.host}: no such host`;
  }
  const text = ERRNO_TEXTS[cause.code];
  if (text !== undefined) return `transport: Error while dialing: dial ${place}: ${text}`;
  const handshake = endpoint.kind === 'tls' ? 'transport: authentication handshake failed: ' : '';
  return `${handshake}${cause.text.trim().replaceAll(/\s*\n\s*/g, ' ')}`;
}

/** The error at the bottom; a name with several addresses fails with one for each, of which the first counts. */
function rootCause(error: unknown): { code: string; text: string } {
  let at = error;
  for (let depth = 0; depth < 8; depth++) {
    if (at instanceof AggregateError && at.errors.length > 0) at = at.errors[0];
    else if (at instanceof Error && at.cause instanceof Error) at = at.cause;
    else break;
  }
  const code = (at as NodeJS.ErrnoException | undefined)?.code;
  return { code: typeof code === 'string' ? code : '', text: at instanceof Error ? at.message : String(at) };
}
