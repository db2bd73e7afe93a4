import type { Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Scope } from '../runtime/scope.ts';
import { type CertificateFiles, certificateVersion, readCertificate } from './certificate.ts';
import { CIPHER_SUITES } from './cipher_suites.ts';
import { TLS_HANDSHAKE } from './sniff.ts';

/** What a listener offers through ALPN, best first; undefined: it does not look at ALPN at all. */
export interface Alpn {
  readonly offered: readonly string[];
  /** A client that offers only unknown names: refused with alert 120, or let in as if it had said nothing. */
  readonly unknown: 'refuse' | 'ignore';
}

export interface TlsOptions {
  readonly files: CertificateFiles;
  readonly alpn: Alpn | undefined;
  readonly scope: Scope;
  readonly log: Log;
  /** What the listener is bound to, for the log. */
  readonly address: () => string;
  readonly onSecure: (socket: TLSSocket) => void;
  /** For all of the handshake; default 20 s. */
  readonly handshakeTimeoutMs?: number | undefined;
  readonly onTimeout?: (() => void) | undefined;
}

/** The ends of accepted connections that have yet to say which protocol they speak. */
export interface TlsFront {
  accept(socket: Socket): void;
}

/** TLS 1.2 only with forward secrecy and authenticated encryption; 1.3 has nothing else (docs/protocol/listeners.md). */
const VERSIONS_AND_SUITES = {
  minVersion: 'TLSv1.2',
  honorCipherOrder: true,
  ciphers: CIPHER_SUITES,
} as const;

const HANDSHAKE_TIMEOUT_MS = 20_000;
/** Certificates are looked at this often. A stat, not a watch: watches miss what network and overlay filesystems change. */
const RELOAD_INTERVAL_MS = 10_000;
const WITHOUT_TLS = 'the client speaks without TLS; its URL may have http, ws or grpc in place of https, wss or grpcs';

const LEFT = 'the client has left in the middle of it; it may not trust the certificate';

/**
 * Ends TLS on the connections it is given.
 * @throws AppError if the certificate cannot be used.
 */
export function openTls(options: TlsOptions): TlsFront {
  const { files, alpn, scope, log } = options;
  const timeoutMs = Math.min(HANDSHAKE_TIMEOUT_MS, options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS);
  const server = createServer({
    ...readCertificate(files),
    ...VERSIONS_AND_SUITES,
    handshakeTimeout: timeoutMs,
    ...(alpn === undefined
      ? {}
      : { ALPNCallback: ({ protocols }: { protocols: string[] }) => chooseAlpn(alpn, protocols) }),
  });
  server.on('secureConnection', (socket) => {
    socket.allowHalfOpen = true;
    options.onSecure(socket);
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') options.onTimeout?.();
    handshakeFailed(log, options.address(), socket, error.code === 'ECONNRESET' ? LEFT : errorText(error));
    socket.destroy();
  });
  server.on('error', () => {});
  reloadCertificate(files, scope, log, (pair) => server.setSecureContext({ ...pair, ...VERSIONS_AND_SUITES }));
  return {
    accept(socket) {
      const silence = scope.timeout(timeoutMs, () => {
        options.onTimeout?.();
        socket.destroy();
      });
      socket.once('close', () => silence.stop());
      socket.once('readable', () => {
        silence.stop();
        const first: Buffer | null = socket.read();
        if (first === null) socket.destroy();
        else if (first[0] === TLS_HANDSHAKE) {
          socket.unshift(first);
          socket.allowHalfOpen = false; // whoever leaves in the middle of the handshake is gone; inherited
          server.emit('connection', socket);
        } else {
          handshakeFailed(log, options.address(), socket, WITHOUT_TLS);
          refusePlainText(socket, first);
        }
      });
    },
  };
}

/** Somebody and this server do not agree on TLS. */
export function handshakeFailed(log: Log, address: string, { remoteAddress }: Socket, error: string): void {
  // The address of who has gone already is not known any more.
  if (log.debugEnabled)
    log.debug('TLS handshake failed', { net_address: address, remote_address: remoteAddress, error });
}

/** A name of the client's list, or undefined, which makes the runtime send alert 120. */
function chooseAlpn(alpn: Alpn, protocols: readonly string[]): string | undefined {
  const chosen = alpn.offered.find((name) => protocols.includes(name));
  if (chosen !== undefined || alpn.unknown === 'refuse') return chosen;
  return protocols[0]; // there is no way to go on without a name: repeat the client's
}

/** Somebody who forgot the "s" of https is told so in words that his HTTP client can show. */
function refusePlainText(socket: Socket, first: Buffer): void {
  const isHttp = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PRI) /.test(first.toString('latin1', 0, 8));
  if (!isHttp) {
    socket.destroy();
    return;
  }
  socket.end('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n');
  socket.resume();
  socket.setTimeout(1000, () => socket.destroy());
}

function reloadCertificate(
  files: CertificateFiles,
  scope: Scope,
  log: Log,
  use: (pair: { cert: Buffer; key: Buffer }) => void,
): void {
  let served = certificateVersion(files);
  const look = () => {
    const version = certificateVersion(files);
    if (version !== served) {
      served = version;
      try {
        use(readCertificate(files));
        log.info('TLS certificate reloaded', { certificate_file: files.certificateFile });
      } catch (error) {
        log.error('TLS certificate not reloaded, the old one stays in use', {
          error: errorText(error),
          hint: `repair ${files.certificateFile} or ${files.keyFile}: they are looked at again`,
        });
      }
    }
    scope.timeout(RELOAD_INTERVAL_MS, look);
  };
  scope.timeout(RELOAD_INTERVAL_MS, look);
}
