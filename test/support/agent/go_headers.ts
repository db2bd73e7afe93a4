const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const cache = new Map<string, string>();

/** Go's CanonicalMIMEHeaderKey: `x-FOO-bar` → `X-Foo-Bar`; a name that is no token stays. */
export function canonicalHeaderName(name: string): string {
  const known = cache.get(name);
  if (known !== undefined) return known;
  const canonical = TOKEN.test(name) ? name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase()) : name;
  if (cache.size < 1000) cache.set(name, canonical);
  return canonical;
}

/** Written in a place of their own, or not at all. */
const EXCLUDED = new Set(['Host', 'User-Agent', 'Content-Length', 'Transfer-Encoding', 'Trailer']);

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly framing: 'none' | 'zero' | 'chunked';
  /** Adds `Accept-Encoding: gzip` at the end. */
  readonly askForGzip: boolean;
}

/** Request line and headers in Go's order. @throws {Error} with Go's text for names and values that HTTP does not allow */
export function writeRequestHead(head: RequestHead): Buffer {
  const agent = head.headers.get('User-Agent');
  const userAgent = agent === undefined ? 'Go-http-client/1.1' : (agent[0] ?? '');
  let out = `${head.method} ${head.target} HTTP/1.1\r\nHost: ${head.host}\r\n`;
  if (userAgent !== '') out += `User-Agent: ${userAgent}\r\n`;
  if (head.framing === 'chunked') out += 'Transfer-Encoding: chunked\r\n';
  else if (head.framing === 'zero') out += 'Content-Length: 0\r\n';
  for (const name of [...head.headers.keys()].sort()) {
    if (EXCLUDED.has(name)) continue;
    if (!TOKEN.test(name)) throw new Error(`net/http: invalid header field name ${JSON.stringify(name)}`);
    for (const value of head.headers.get(name)!) {
      if (hasControlCharacters(value))
        throw new Error(`net/http: invalid header field value for ${JSON.stringify(name)}`);
      out += `${name}: ${value.trim()}\r\n`;
    }
  }
  if (head.askForGzip) out += 'Accept-Encoding: gzip\r\n';
  return Buffer.from(`${out}\r\n`, 'utf8');
}

function hasControlCharacters(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if ((code < 32 && code !== 9) || code === 127) return true;
  }
  return false;
}

/** The header map of a response as Go has it: canonical names, without what its HTTP code takes out. */
export function responseHeaderMap(
  pairs: readonly (readonly [string, string])[],
  chunked: boolean,
): Map<string, string[]> {
  const map = new Map<string, string[]>();
  for (const [rawName, rawValue] of pairs) {
    const name = canonicalHeaderName(rawName);
    if (name === 'Transfer-Encoding' || (chunked && (name === 'Content-Length' || name === 'Trailer'))) continue;
    const value = asUtf8(rawValue);
    const list = map.get(name);
    if (list === undefined) map.set(name, [value]);
    else if (name !== 'Content-Length') list.push(value);
  }
  return map;
}

/** Header bytes come as latin1; protobuf strings are UTF-8. */
function asUtf8(latin1: string): string {
  for (let i = 0; i < latin1.length; i++)
    if (latin1.charCodeAt(i) > 127) return Buffer.from(latin1, 'latin1').toString('utf8');
  return latin1;
}
