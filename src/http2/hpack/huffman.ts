import { HpackError } from './hpack_error.ts';
import { HUFFMAN_CODE_LENGTHS } from './huffman_code.ts';

/** Codes of so many bits are found in one step: those of all characters that header fields usually have. */
const SHORT_BITS = 9;
const SHORT_MASK = (1 << SHORT_BITS) - 1;
const LONGEST_CODE = 30;
const SHORTEST_CODE = 5;
const EOS = 256;

/** By the next nine bits: the symbol, and above its eight bits the length of its code; 0 where the code is longer. */
const short = new Uint16Array(1 << SHORT_BITS);
/** All symbols in the order of their codes. */
const symbols = new Uint16Array(EOS + 1);
/** By the length of a code, what to take away from it to get its symbol's place in `symbols`. */
const shift = new Int32Array(LONGEST_CODE + 1);
/** By the length of a code, the first code which is longer: smaller ones end here. */
const bound = new Int32Array(LONGEST_CODE + 1);

fillTables();

function fillTables(): void {
  let code = 0;
  let place = 0;
  for (let length = SHORTEST_CODE; length <= LONGEST_CODE; length++) {
    code <<= 1;
    shift[length] = code - place;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (HUFFMAN_CODE_LENGTHS[symbol] !== length) continue;
      symbols[place++] = symbol;
      if (length <= SHORT_BITS) {
        const spare = SHORT_BITS - length;
        short.fill((length << 8) | symbol, code << spare, (code + 1) << spare);
      }
      code++;
    }
    bound[length] = code;
  }
}

/** No string of so many coded bytes has more characters than this. */
export function mostDecoded(codedBytes: number): number {
  return Math.floor((codedBytes * 8) / SHORTEST_CODE);
}

/**
 * Decodes a Huffman-coded string (RFC 7541, 5.2) into `to`, which has room for `mostDecoded` of its length.
 *
 * @returns how many bytes it has
 * @throws HpackError if EOS is in it, or if what fills the last byte is longer than seven bits or not all ones
 */
export function decodeHuffman(from: Uint8Array, start: number, end: number, to: Uint8Array): number {
  let at = start;
  let written = 0;
  // The last `held` bits of `bits` are not decoded yet. At most 8 + 15 are held.
  let bits = 0;
  let held = 0;
  for (;;) {
    while (held < SHORT_BITS && at < end) {
      bits = ((bits & SHORT_MASK) << 8) | from[at++]!;
      held += 8;
    }
    if (held < SHORT_BITS) break;
    const found = short[(bits >>> (held - SHORT_BITS)) & SHORT_MASK]!;
    if (found !== 0) {
      held -= found >>> 8;
      to[written++] = found & 0xff;
      continue;
    }
    let code = (bits >>> (held - SHORT_BITS)) & SHORT_MASK;
    let length = SHORT_BITS;
    held -= SHORT_BITS;
    while (code >= bound[length]!) {
      if (held === 0) {
        if (at === end)
          throw new HpackError('a Huffman-coded string ends within a code, or is filled up with more than seven bits');
        bits = from[at++]!;
        held = 8;
      }
      held--;
      code = (code << 1) | ((bits >>> held) & 1);
      length++;
    }
    const symbol = symbols[code - shift[length]!]!;
    if (symbol === EOS) throw new HpackError('a Huffman-coded string has EOS in it');
    to[written++] = symbol;
  }
  // Fewer than nine bits are left: one code of up to eight of them, perhaps, and what fills the byte, which must look like EOS's beginning.
  while (held > 0) {
    const ones = SHORT_MASK >>> held;
    const found = short[((bits << (SHORT_BITS - held)) & SHORT_MASK) | ones]!;
    const length = found >>> 8;
    if (found === 0 || length > held) break;
    held -= length;
    to[written++] = found & 0xff;
  }
  const rest = (1 << held) - 1;
  if (held > 7 || (bits & rest) !== rest)
    throw new HpackError('a Huffman-coded string is not filled up with up to seven ones');
  return written;
}
