/** 1 for each byte that may stand in a header name (RFC 9110, 5.6.2). */
const token = new Uint8Array(128);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  token[c.charCodeAt(0)] = 1;

/** Whether the text is a token of RFC 9110: what header names and WebSocket subprotocols are made of. */
export function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (token[text.charCodeAt(i)] !== 1) return false;
  }
  return text.length > 0;
}

/**
 * The name as Go's MIME headers spell it: upper case at the start and after each hyphen, lower case elsewhere; a name that
 * is no token stays as it is. agentk compares exactly this spelling, so any other makes its check against nested
 * impersonation miss a header (docs/protocol/kubernetes_api.md, "Header names").
 */
export function canonicalHeaderName(name: string): string {
  if (!isToken(name)) return name;
  let canonical = '';
  let upper = true;
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i);
    const isLower = c >= 0x61 && c <= 0x7a;
    const isUpper = c >= 0x41 && c <= 0x5a;
    if (upper && isLower) canonical += String.fromCharCode(c - 0x20);
    else if (!upper && isUpper) canonical += String.fromCharCode(c + 0x20);
    else canonical += name[i];
    upper = c === 0x2d;
  }
  return canonical;
}

/** Headers that belong to one connection and never travel on (RFC 9110, 7.6.1, and the list Go proxies use). */
export const HOP_BY_HOP_HEADERS: readonly string[] = [
  'Proxy-Connection',
  'Keep-Alive',
  'Proxy-Authenticate',
  'Proxy-Authorization',
  'Te',
  'Trailer',
  'Transfer-Encoding',
];

/** Adds the names that a `Connection` value lists, in lower case, except those that need no removing. */
export function addConnectionTokens(value: string, names: Set<string> | undefined): Set<string> | undefined {
  for (const part of value.split(',')) {
    const name = part.trim().toLowerCase();
    if (name === '' || name === 'close' || name === 'keep-alive' || name === 'upgrade') continue;
    names ??= new Set();
    names.add(name);
  }
  return names;
}

/**
 * What is known about header names, by the spelling they arrive in. Names come from outside, so the memory is bounded:
 * names beyond the bound are worked out each time.
 */
export class HeaderNameTable<T> {
  readonly #known = new Map<string, T>();
  readonly #describe: (name: string) => T;

  constructor(describe: (name: string) => T) {
    this.#describe = describe;
  }

  get(name: string): T {
    return this.#known.get(name) ?? this.#learn(name);
  }

  #learn(name: string): T {
    const description = this.#describe(name);
    if (this.#known.size < 1000 && name.length <= 64) this.#known.set(name, description);
    return description;
  }
}
