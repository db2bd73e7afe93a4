import { STATIC_TABLE, STATIC_TABLE_LENGTH } from './static_table.ts';

/** Values are of one byte a character; a list is a field for each. */
export type HeaderValue = string | number | readonly string[] | undefined;

// How fields begin (RFC 7541, 6), and the bits that are left for an integer.
const INDEXED = 0x80;
const INDEXED_MASK = 0x7f;
const WITHOUT_INDEXING = 0x00;
const NEVER_INDEXED = 0x10;
const LITERAL_MASK = 0x0f;
/** How a string begins that is not Huffman-coded (RFC 7541, 5.2). */
const PLAIN = 0x00;
const PLAIN_MASK = 0x7f;

/** Who passes these on must not put them into a table either, where a guess could be tried (RFC 7541, 7.1.3). */
const SENSITIVE = ['authorization', 'proxy-authorization', 'cookie', 'set-cookie'];

/** No integer has more bytes: one that begins, and five that go on. */
const INTEGER_BYTES = 6;
/** Up to this length it is quicker to copy characters here than to call the runtime for it. */
const SHORT_TEXT = 32;
const SCRATCH_BYTES = 16384;
const COLON = 0x3a;

/** What is known of a name before it is sent. */
interface KnownName {
  /** Of the first entry with this name; 0 if there is none. */
  readonly index: number;
  readonly literal: typeof WITHOUT_INDEXING | typeof NEVER_INDEXED;
  /** The entries that have a value, too. */
  readonly entries: Map<string, number> | undefined;
}

const UNKNOWN: KnownName = { index: 0, literal: WITHOUT_INDEXING, entries: undefined };
const knownNames = readStaticTable();

/** Where a block is written before its size is known; one is done with before the next begins. */
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
let at = 0;

/**
 * Writes a header block (RFC 7541) that needs no dynamic table: entries of the static one where there are, literals otherwise, and no Huffman
 * code. So it depends on nothing that was sent before, and our memory of a connection has no table in it.
 *
 * Names are in lower case. Pseudo-header fields come first (RFC 9113, 8.3), wherever they stand. As in node:http2, a character beyond a byte
 * loses its high bits: values have been looked at before.
 */
export function encodeHeaders(headers: Readonly<Record<string, HeaderValue>>): Buffer {
  at = 0;
  const names = Object.keys(headers);
  for (const name of names) if (name.charCodeAt(0) === COLON) writeFields(name, headers[name]);
  for (const name of names) if (name.charCodeAt(0) !== COLON) writeFields(name, headers[name]);
  const block = Buffer.allocUnsafe(at);
  scratch.copy(block, 0, 0, at);
  if (scratch.length > SCRATCH_BYTES) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  return block;
}

function writeFields(name: string, value: HeaderValue): void {
  if (value === undefined) return;
  if (typeof value === 'string') writeField(name, value);
  else if (typeof value === 'number') writeField(name, String(value));
  else for (const each of value) writeField(name, each);
}

function writeField(name: string, value: string): void {
  makeRoom(name.length + value.length + 3 * INTEGER_BYTES);
  const known = knownNames.get(name) ?? UNKNOWN;
  const entry = known.entries?.get(value);
  if (entry !== undefined) {
    writeInteger(INDEXED, INDEXED_MASK, entry);
    return;
  }
  writeInteger(known.literal, LITERAL_MASK, known.index);
  if (known.index === 0) writeText(name);
  writeText(value);
}

function writeText(text: string): void {
  writeInteger(PLAIN, PLAIN_MASK, text.length);
  if (text.length > SHORT_TEXT) {
    at += scratch.write(text, at, 'latin1');
    return;
  }
  for (let i = 0; i < text.length; i++) scratch[at++] = text.charCodeAt(i);
}

/** RFC 7541, 5.1. */
function writeInteger(pattern: number, mask: number, value: number): void {
  if (value < mask) {
    scratch[at++] = pattern | value;
    return;
  }
  scratch[at++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) scratch[at++] = (rest & 0x7f) | 0x80;
  scratch[at++] = rest;
}

function makeRoom(bytes: number): void {
  if (at + bytes <= scratch.length) return;
  const larger = Buffer.allocUnsafeSlow((at + bytes) * 2);
  scratch.copy(larger, 0, 0, at);
  scratch = larger;
}

function readStaticTable(): Map<string, KnownName> {
  const known = new Map<string, KnownName>();
  for (let index = 1; index <= STATIC_TABLE_LENGTH; index++) {
    const name = STATIC_TABLE[index * 2]!;
    const value = STATIC_TABLE[index * 2 + 1]!;
    const before = known.get(name) ?? { ...UNKNOWN, index };
    const entries = value === '' ? before.entries : new Map(before.entries).set(value, index);
    known.set(name, { ...before, entries });
  }
  for (const name of SENSITIVE)
    known.set(name, { index: known.get(name)?.index ?? 0, literal: NEVER_INDEXED, entries: undefined });
  return known;
}
