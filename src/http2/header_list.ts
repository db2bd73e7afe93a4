import type { IncomingHttpHeaders } from 'node:http2';

/** Names and values in turn, as they came. */
export type HeaderList = readonly string[];

/** A request or an answer that breaks the rules of RFC 9113, 8: an error of its stream. */
export class MalformedHeaders extends Error {}

const REQUEST_PSEUDO = new Set([':method', ':scheme', ':authority', ':path']);
const RESPONSE_PSEUDO = new Set([':status']);
const NO_PSEUDO = new Set<string>();
/** They mean something on a connection of HTTP/1.1 only (RFC 9113, 8.2.2). */
const CONNECTION_SPECIFIC = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);
/** Of which a second one says nothing; Node's HTTP/2 ignores it as well. */
const SINGLE = new Set([
  'authorization',
  'content-type',
  'host',
  'referer',
  'user-agent',
  'grpc-timeout',
  'grpc-encoding',
]);

/** @throws MalformedHeaders */
export function requestHeaders(list: HeaderList): IncomingHttpHeaders {
  const headers = collect(list, REQUEST_PSEUDO);
  const method = headers[':method'];
  const path = headers[':path'];
  if (method === undefined || !METHOD.test(method)) throw new MalformedHeaders('no :method');
  if (method === 'CONNECT') {
    // It names a host and nothing else (RFC 9113, 8.5).
    if (!headers[':authority'] || headers[':scheme'] !== undefined || path !== undefined)
      throw new MalformedHeaders('no CONNECT');
    return headers;
  }
  if (headers[':scheme'] === undefined) throw new MalformedHeaders('no :scheme');
  if (path === undefined || !(path.charCodeAt(0) === SLASH || (path === '*' && method === 'OPTIONS')))
    throw new MalformedHeaders('no :path');
  return headers;
}

/** @throws MalformedHeaders */
export function responseHeaders(list: HeaderList): IncomingHttpHeaders {
  const headers = collect(list, RESPONSE_PSEUDO);
  if (!/^\d{3}$/.test(String(headers[':status']))) throw new MalformedHeaders('no :status');
  return headers;
}

/** @throws MalformedHeaders */
export function trailerHeaders(list: HeaderList): IncomingHttpHeaders {
  return collect(list, NO_PSEUDO);
}

function collect(list: HeaderList, pseudo: ReadonlySet<string>): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = Object.create(null);
  let regular = false;
  let longNames: Set<string> | undefined;
  let longValues: Set<string> | undefined;
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = list[i]!;
    const value = list[i + 1]!;
    if (name.charCodeAt(0) === COLON) {
      if (NO_LINE_PART.test(value)) throw new MalformedHeaders(`the value of ${name}`);
      if (regular || !pseudo.has(name) || headers[name] !== undefined) throw new MalformedHeaders(`misplaced ${name}`);
      headers[name] = value;
      continue;
    }
    regular = true;
    if (value.length < LONG_TEXT) checkValue(name, value);
    else if (longValues?.has(value) !== true) {
      checkValue(name, value);
      longValues ??= new Set();
      longValues.add(value);
    }
    if (name.length < LONG_TEXT) checkName(name);
    else if (longNames?.has(name) !== true) {
      checkName(name);
      longNames ??= new Set();
      longNames.add(name);
    }
    if (name === 'content-length' && headers[name] !== undefined) throw new MalformedHeaders('two lengths');
    if (CONNECTION_SPECIFIC.has(name) || (name === 'te' && value !== 'trailers'))
      throw new MalformedHeaders(`${name} has no place in HTTP/2`);
    add(headers, name, value);
  }
  return headers;
}

/** As Node does it: several of one name become one, joined. */
function add(headers: IncomingHttpHeaders, name: string, value: string): void {
  const before = headers[name];
  if (name === 'set-cookie') headers[name] = [...(before ?? []), value];
  else if (before === undefined) headers[name] = value;
  else if (!SINGLE.has(name)) headers[name] = `${before as string}${name === 'cookie' ? '; ' : ', '}${value}`;
}

const COLON = 58;
const SLASH = 47;

/** An entry of the table may stand in a list thousands of times, each for a byte: longer ones are looked at once. */
const LONG_TEXT = 128;

/** Tokens of HTTP, in lower case (RFC 9113, 8.2.1). */
function checkName(name: string): void {
  let valid = name.length > 0;
  for (let i = 0; i < name.length && valid; i++) valid = NAME_CHARS[name.charCodeAt(i)] === 1;
  if (!valid) throw new MalformedHeaders(`the name ${JSON.stringify(name)}`);
}

function checkValue(name: string, value: string): void {
  if (NO_VALUE.test(value)) throw new MalformedHeaders(`the value of ${JSON.stringify(name)}`);
}

const NAME_CHARS = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") NAME_CHARS[char.charCodeAt(0)] = 1;

/**
 * Control characters, which HTTP allows nowhere (RFC 9110, 5.5); some end a line elsewhere. White space around a value, against RFC 9113 8.2.1,
 * is let pass as Go does it.
 */
const NO_VALUE = /[^\t -~\x80-\xff]/;
/** In a pseudo-header field, which is a part of HTTP/1.1's first line, a space would as well. */
const NO_LINE_PART = /[^!-~\x80-\xff]/;
/** RFC 9110, 5.6.2. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
