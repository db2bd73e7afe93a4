/** Percent-encoding as Go's net/url does it, for that is what an agent's kube-apiserver gets to see. */

const PATH_KEPT = /[A-Za-z0-9\-_.~$&+,/:;=@]/;
const encodedPathBytes: string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return byte < 128 && PATH_KEPT.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});
const NEEDS_ESCAPE = /[^A-Za-z0-9\-_.~$&+,/:;=@]/;

export function encodePath(path: string): string {
  if (!NEEDS_ESCAPE.test(path)) return path;
  let out = '';
  for (const byte of Buffer.from(path, 'utf8')) out += encodedPathBytes[byte];
  return out;
}

/** `a=1&b=2`, sorted by key; values of one key keep their order. */
export function encodeQuery(query: ReadonlyMap<string, readonly string[]>): string {
  if (query.size === 0) return '';
  const keys = [...query.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return keys
    .flatMap((key) => query.get(key)!.map((value) => `${encodeComponent(key)}=${encodeComponent(value)}`))
    .join('&');
}

function encodeComponent(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}
