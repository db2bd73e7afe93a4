import type { IncomingHttpHeaders } from 'node:http';

/** The head of an answer (RFC 9112), and what it says of what follows. */
export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; the values of a name that comes more than once are joined. */
  readonly headers: IncomingHttpHeaders;
  readonly body: BodyFraming;
  /** Whether the connection may be used again when the body is over. */
  readonly keepsConnection: boolean;
}

/** How long the body is: so many bytes, in chunks, or until the connection ends. */
export type BodyFraming = number | 'chunked' | 'until close';

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/;
const HEADER_LINE = /^([!#$%&'*+.^`|~\w-]+):[ \t]*([^\0\r\n]*?)[ \t]*$/;

/**
 * @param text the head without the empty line at its end
 * @throws Error if that is no head, or leaves open how long the body is
 */
export function parseResponseHead(text: string): ResponseHead {
  const lines = text.split('\r\n');
  const [, minor, code] = STATUS_LINE.exec(lines[0] ?? '') ?? [];
  if (code === undefined) throw new Error('the answer does not begin as one of HTTP/1.1');
  const headers: IncomingHttpHeaders = {};
  for (let i = 1; i < lines.length; i++) {
    const [, name, value = ''] = HEADER_LINE.exec(lines[i] ?? '') ?? [];
    if (name === undefined) throw new Error('the answer has a header line that is none');
    const key = name.toLowerCase();
    const before = headers[key];
    headers[key] = before === undefined ? value : `${before}, ${value}`;
  }
  const status = Number(code);
  const body = framing(status, headers);
  return { status, headers, body, keepsConnection: keepsConnection(minor === '1', headers, body) };
}

function framing(status: number, headers: IncomingHttpHeaders): BodyFraming {
  if (status < 200 || status === 204 || status === 304) return 0;
  const coding = headers['transfer-encoding'];
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') throw new Error('the answer has an unknown Transfer-Encoding');
    return 'chunked';
  }
  const length = headers['content-length'];
  if (length === undefined) return 'until close';
  if (!/^\d{1,15}$/.test(length)) throw new Error('the answer has a Content-Length that is none');
  return Number(length);
}

function keepsConnection(isHttp11: boolean, headers: IncomingHttpHeaders, body: BodyFraming): boolean {
  if (body === 'until close') return false;
  // Somebody may have smuggled: what both say must not be trusted any further (RFC 9112, 6.3).
  if (body === 'chunked' && headers['content-length'] !== undefined) return false;
  const { connection } = headers;
  if (connection === undefined) return isHttp11;
  const options = connection.toLowerCase().split(/[ \t]*,[ \t]*/);
  return !options.includes('close') && (isHttp11 || options.includes('keep-alive'));
}
