import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Http1Handlers {
  request?(req: IncomingMessage, res: ServerResponse): void;
  /** Asked before `upgrade`; false makes the request an ordinary one. */
  shouldUpgrade?(req: IncomingMessage): boolean;
  /** `giveBack` returns the connection to the server, which then expects a request on it. */
  upgrade?(req: IncomingMessage, socket: Duplex, head: Buffer, giveBack: (socket: Duplex) => void): void;
}

export interface Http1Options {
  /** Time to send the head of a request; default 10 s. */
  readonly headersTimeoutMs?: number;
  /** Time between two requests; default 60 s. */
  readonly keepAliveTimeoutMs?: number;
  /** Time to send a whole request; default 0, no limit. */
  readonly requestTimeoutMs?: number;
  /** True: each connection ends with its next answer, which says so. Asked for each request; default never. */
  readonly retiring?: () => boolean;
  /** A request's head; default one MiB. */
  readonly headerBytes?: number;
  /** A head was too large, or did not come in time. */
  readonly headTooLarge?: () => void;
  readonly headTooLate?: () => void;
}

const MAX_HEAD_BYTES = 1 << 20;
/** What Go's server allows on top of it. */
const HEAD_SLACK_BYTES = 4096;

/** An HTTP/1.1 server that never listens: it is fed connections by `emit('connection')`. */
export function createHttp1Server(handlers: Http1Handlers, options: Http1Options): Server {
  const { shouldUpgrade, upgrade } = handlers;
  const { retiring } = options;
  /** Upgrades that came too early for their connection to be given away: ordinary requests, and the last ones on it. */
  const behind = new WeakSet<IncomingMessage>();
  const server = createServer({
    headersTimeout: options.headersTimeoutMs ?? 10_000,
    keepAliveTimeout: options.keepAliveTimeoutMs ?? 60_000,
    requestTimeout: options.requestTimeoutMs ?? 0,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: (options.headerBytes ?? MAX_HEAD_BYTES) + HEAD_SLACK_BYTES,
    requireHostHeader: false, // checked below, to answer in words
    ...(upgrade !== undefined && {
      shouldUpgradeCallback: (req: IncomingMessage) => {
        if (!isAnswering(req.socket)) return shouldUpgrade?.(req) ?? true;
        behind.add(req);
        return false;
      },
    }),
  });
  server.maxHeadersCount = 0; // the size is limited, and a header that is left out silently may be one that protects
  const serve = (req: IncomingMessage, res: ServerResponse, waits: boolean) => {
    if (retiring?.()) res.shouldKeepAlive = false;
    // The runtime drops what comes in one read with such a request: nothing that follows could be trusted.
    if (req.headers.upgrade !== undefined && behind.has(req)) res.shouldKeepAlive = false;
    if (waits) continueWhenRead(req, res);
    else sayNothingOfKeepAlive(req, res);
    const fault = faultOf(req);
    if (fault !== undefined) refuse(req.socket, ...fault);
    else if (handlers.request === undefined) refuse(req.socket, 404, '404 Not Found');
    else handlers.request(req, res);
  };
  server.on('request', (req, res) => serve(req, res, false));
  server.on('checkContinue', (req, res) => serve(req, res, true));
  if (upgrade !== undefined) {
    server.on('upgrade', (req, socket, head) => {
      const fault = faultOf(req);
      if (fault !== undefined) refuse(socket, ...fault);
      else upgrade.call(handlers, req, socket, head, (returned) => server.emit('connection', returned));
    });
  }
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'HPE_HEADER_OVERFLOW') options.headTooLarge?.();
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') options.headTooLate?.();
    refuseBadRequest(error, socket);
  });
  server.on('error', () => {});
  // A server that does not listen has no timer for `headersTimeout` and, on Deno, closes after one answer.
  server.emit('listening');
  Object.defineProperty(server, 'listening', { value: true });
  return server;
}

/** Connections of HTTP/1.1 stay open unless somebody says otherwise; upstream does not say it either. */
function sayNothingOfKeepAlive(req: IncomingMessage, res: ServerResponse): void {
  if (res.shouldKeepAlive && req.httpVersionMinor === 1) res.removeHeader('connection');
}

/**
 * Asks a client that waits for that to send its body as soon as somebody reads it: one that is refused need not send it. The
 * runtime closes the connection of who was not asked, since nobody knows whether the body comes (RFC 9110, 10.1.1).
 */
function continueWhenRead(req: IncomingMessage, res: ServerResponse): void {
  const read = req._read;
  req._read = (size) => {
    req._read = read;
    if (!res.headersSent) {
      res.writeContinue();
      sayNothingOfKeepAlive(req, res);
    }
    req._read(size);
  };
}

const NO_HOST: Refusal = [400, '400 Bad Request: missing required Host header'];
const MANY_HOSTS: Refusal = [400, '400 Bad Request: too many Host headers'];
const BAD_HOST: Refusal = [400, '400 Bad Request: malformed Host header'];
const BAD_VERSION: Refusal = [505, '505 HTTP Version Not Supported: unsupported protocol version'];
const BAD_ENCODING: Refusal = [501, 'Unsupported transfer encoding'];
const BAD_REQUEST: Refusal = [400, '400 Bad Request'];
type Refusal = [status: number, body: string];

/**
 * What the parser takes and others would read in another way. Of two `Host` lines what stands before us may have believed the
 * other one (RFC 9112, 3.2). An encoding besides `chunked` would be lost on the way to the cluster, and the end of such a body
 * is not the same for everybody; HTTP/1.0 has no encodings at all (RFC 9112, 6.1).
 */
function faultOf({ headers, rawHeaders, httpVersionMinor, httpVersionMajor }: IncomingMessage): Refusal | undefined {
  if (httpVersionMajor !== 1) return httpVersionMajor < 1 ? BAD_REQUEST : BAD_VERSION;
  const hosts = countHosts(rawHeaders);
  if (hosts > 1) return MANY_HOSTS;
  const encoding = headers['transfer-encoding'];
  if (httpVersionMinor < 1) return encoding === undefined ? undefined : BAD_REQUEST;
  if (hosts === 0) return NO_HOST;
  if (!isHost(headers.host ?? '')) return BAD_HOST;
  return encoding === undefined || encoding.toLowerCase() === 'chunked' ? undefined : BAD_ENCODING;
}

/** The runtime's table of headers keeps only the first. */
function countHosts(rawHeaders: readonly string[]): number {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts;
}

/** Of bytes that names, addresses, ports and escapes are made of, as Go's server checks it. */
function isHost(host: string): boolean {
  return /^[\w!$%&'()*+,.:;=[\]~-]*$/.test(host);
}

/**
 * Whether a request that came before on the same connection has no whole answer yet. The connection cannot be given away then:
 * an upgrade becomes an ordinary request, as HTTP allows, and waits for its turn. Only the runtime knows, and says it here.
 */
function isAnswering(socket: Duplex): boolean {
  return Boolean((socket as Duplex & { _httpMessage?: unknown })._httpMessage);
}

/** Answers what the parser could not read, in the words of Go's server where it has some (docs/protocol/listeners.md). */
function refuseBadRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      refuse(socket, 431, '431 Request Header Fields Too Large');
      break;
    case 'HPE_INVALID_HEADER_TOKEN':
      refuse(socket, 400, '400 Bad Request: invalid header name');
      break;
    case 'HPE_INVALID_TRANSFER_ENCODING':
      // A length beside it is another matter: somebody may want the two of us to disagree about where the body ends.
      if (/Content-Length/.test(reasonOf(error))) refuse(socket, ...BAD_REQUEST);
      else refuse(socket, ...BAD_ENCODING);
      break;
    case 'ERR_HTTP_REQUEST_TIMEOUT': // nobody waits for an answer to a request that he did not send
    case 'ECONNRESET':
      socket.destroy();
      break;
    default:
      refuse(socket, ...BAD_REQUEST);
  }
}

/** What the parser says besides its code. */
function reasonOf(error: NodeJS.ErrnoException): string {
  return 'reason' in error ? String(error.reason) : '';
}

/** Answers on the bare socket, whose parser is of no more use, and closes. */
function refuse(socket: Duplex, status: number, body: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const reason = body.startsWith(`${status} `) ? body.slice(4) : (STATUS_CODES[status] ?? '');
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
