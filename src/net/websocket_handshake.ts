import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** The subprotocol of gRPC inside a WebSocket (docs/protocol/listeners.md). */
export const TUNNEL_SUBPROTOCOL = 'ws-tunnel';

export interface HandshakeRefusal {
  readonly status: number;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

const SWITCH = { Connection: 'Upgrade', Upgrade: 'websocket' };

/** Why a request is no acceptable WebSocket handshake, in the order in which upstream looks; undefined if it is one. */
export function refuseHandshake(req: IncomingMessage): HandshakeRefusal | undefined {
  const { headers } = req;
  const refusal = (status: number, message: string, more = {}): HandshakeRefusal => ({
    status,
    message,
    headers: more,
  });
  const violation = 'WebSocket protocol violation: ';
  if (req.httpVersionMajor < 1 || (req.httpVersionMajor === 1 && req.httpVersionMinor < 1)) {
    return refusal(426, `${violation}handshake request must be at least HTTP/1.1: "HTTP/${req.httpVersion}"`);
  }
  if (!hasToken(headers.connection, 'upgrade')) {
    return refusal(426, `${violation}Connection header ${quote(headers.connection)} does not contain Upgrade`, SWITCH);
  }
  if (!hasToken(headers.upgrade, 'websocket')) {
    return refusal(426, `${violation}Upgrade header ${quote(headers.upgrade)} does not contain websocket`, SWITCH);
  }
  if (req.method !== 'GET') {
    return refusal(405, `${violation}handshake request method is not GET but ${quote(req.method)}`);
  }
  const version = headers['sec-websocket-version'];
  if (version !== '13') {
    const message = `unsupported WebSocket protocol version (only 13 is supported): ${quote(version)}`;
    return refusal(400, message, { 'Sec-WebSocket-Version': '13' });
  }
  if (!headers['sec-websocket-key']) return refusal(400, `${violation}missing Sec-WebSocket-Key`);
  const { origin, host = '' } = headers;
  if (origin !== undefined && originHost(origin) !== host.toLowerCase()) {
    return refusal(403, `request Origin ${quote(origin)} is not authorized for Host ${quote(host)}`);
  }
  return undefined;
}

/** The subprotocol to answer: the client's spelling of ours if it offers that, or none. */
export function selectSubprotocol(req: IncomingMessage): string {
  const offered = tokens(req.headers['sec-websocket-protocol']);
  return offered.find((name) => name.toLowerCase() === TUNNEL_SUBPROTOCOL) ?? '';
}

/** The head of the answer that makes the connection a WebSocket. */
export function acceptHandshake(req: IncomingMessage, subprotocol: string, serverHeader: string): string {
  const accept = createHash('sha1')
    .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
    ...(subprotocol === '' ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
    `Server: ${serverHeader}`,
    'Upgrade: websocket',
    '\r\n',
  ].join('\r\n');
}

function hasToken(header: string | undefined, token: string): boolean {
  return tokens(header).some((name) => name.toLowerCase() === token);
}

function tokens(header: string | undefined): string[] {
  return (header ?? '').split(',').map((part) => part.trim());
}

/** As it stands there, port included: a URL parser would leave out a port that is the scheme's default. */
function originHost(origin: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(origin)?.[1]?.toLowerCase() ?? '';
}

function quote(text: string | undefined): string {
  return JSON.stringify(text ?? '');
}
