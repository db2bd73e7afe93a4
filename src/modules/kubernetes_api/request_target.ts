import { textFromBytes, textFromBytesLossy } from './text.ts';
import { type ValueLists, ValueListsBuilder } from './value_lists.ts';

/** The target of a request, decoded. */
export interface RequestTarget {
  readonly path: string;
  readonly query: ValueLists;
  /** Path or query decode to something that is no UTF-8, which no protobuf string can carry; U+FFFD stands in for it. */
  readonly invalidUtf8: boolean;
}

/**
 * Splits and decodes a request target the way Go's HTTP server does: origin or absolute form, `#` and `+` are ordinary
 * bytes of a path, nothing is normalised (docs/protocol/kubernetes_api.md, "Paths and queries").
 * @param url the target as Node gives it, one character a byte
 * @returns undefined for what is no target at all: bad percent escapes, control characters, neither form
 */
export function parseRequestTarget(url: string): RequestTarget | undefined {
  let end = url.length;
  let isPlain = true;
  for (let i = 0; i < url.length; i++) {
    const c = url.charCodeAt(i);
    if (c < 0x20 || c === 0x7f) return undefined;
    if (c === 0x3f) {
      end = i;
      break;
    }
    if (c === 0x25 || c > 0x7f) isPlain = false;
  }
  let rawPath = end === url.length ? url : url.slice(0, end);
  if (url.charCodeAt(0) !== 0x2f) {
    const path = pathOfOtherForm(rawPath);
    if (path === undefined) return undefined;
    rawPath = path;
  }
  let path = rawPath;
  let invalidUtf8 = false;
  if (!isPlain) {
    const bytes = percentDecoded(rawPath, false);
    if (bytes === undefined) return undefined;
    const text = textFromBytes(bytes);
    invalidUtf8 = text === undefined;
    path = text ?? textFromBytesLossy(bytes);
  }
  if (end >= url.length - 1) return { path, query: [], invalidUtf8 };
  for (let i = end; i < url.length; i++) {
    const c = url.charCodeAt(i);
    if (c < 0x20 || c === 0x7f) return undefined;
  }
  const query = parseQuery(url.slice(end + 1));
  return { path, query: query.lists, invalidUtf8: invalidUtf8 || query.invalidUtf8 };
}

/** The path below the prefix, with its leading slash; undefined if the path is not below it. */
export function pathBelow(path: string, prefix: string): string | undefined {
  return path.startsWith(prefix) ? path.slice(prefix.length - 1) : undefined;
}

/** The path of the absolute form (`http://host/path`) and of `*`. */
function pathOfOtherForm(target: string): string | undefined {
  if (target === '*') return target;
  const colon = target.indexOf(':');
  if (colon < 1) return undefined;
  if (!/^[a-z][a-z0-9+.-]*$/i.test(target.slice(0, colon))) return undefined;
  if (!target.startsWith('//', colon + 1)) return '';
  const slash = target.indexOf('/', colon + 3);
  return slash === -1 ? '' : target.slice(slash);
}

/** Go's url.ParseQuery: pairs with a semicolon or a bad escape are dropped, a key without `=` has the value "". */
function parseQuery(query: string): { lists: ValueLists; invalidUtf8: boolean } {
  const pairs = new ValueListsBuilder();
  let invalidUtf8 = false;
  for (let start = 0; start <= query.length; ) {
    let end = query.indexOf('&', start);
    if (end === -1) end = query.length;
    const pair = query.slice(start, end);
    start = end + 1;
    if (pair === '' || pair.includes(';')) continue;
    const equals = pair.indexOf('=');
    const key = percentDecoded(equals === -1 ? pair : pair.slice(0, equals), true);
    const value = equals === -1 ? '' : percentDecoded(pair.slice(equals + 1), true);
    if (key === undefined || value === undefined) continue;
    const keyText = textFromBytes(key);
    const valueText = textFromBytes(value);
    if (keyText === undefined || valueText === undefined) invalidUtf8 = true;
    pairs.add(keyText ?? textFromBytesLossy(key), valueText ?? textFromBytesLossy(value));
  }
  return { lists: pairs.lists, invalidUtf8 };
}

/**
 * Percent-decodes bytes (one character each).
 * @param plusIsSpace form decoding, as in queries and in Rack's cookies
 * @returns undefined if a `%` is not followed by two hex digits
 */
export function percentDecoded(bytes: string, plusIsSpace: boolean): string | undefined {
  if (!bytes.includes('%') && !(plusIsSpace && bytes.includes('+'))) return bytes;
  let decoded = '';
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes.charCodeAt(i);
    if (c === 0x25) {
      const high = hexDigit(bytes.charCodeAt(i + 1));
      const low = hexDigit(bytes.charCodeAt(i + 2));
      if (high < 0 || low < 0) return undefined;
      decoded += String.fromCharCode(high * 16 + low);
      i += 2;
    } else if (c === 0x2b && plusIsSpace) {
      decoded += ' ';
    } else {
      decoded += bytes[i];
    }
  }
  return decoded;
}

/** The value of a hex digit, -1 for anything else (NaN past the end too). */
function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  if (lower >= 0x61 && lower <= 0x66) return lower - 0x57;
  return -1;
}
