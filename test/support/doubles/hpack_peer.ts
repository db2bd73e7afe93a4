import { HUFFMAN_CODE_LENGTHS } from '../../../src/http2/hpack/huffman_code.ts';
import { STATIC_TABLE } from '../../../src/http2/hpack/static_table.ts';

/** The Huffman code of each byte, and at last of EOS, as the zeros and ones that RFC 7541, appendix B shows. */
export const huffmanCodes: readonly string[] = spellCodes();

function spellCodes(): string[] {
  const codes: string[] = [];
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (const [symbol, own] of HUFFMAN_CODE_LENGTHS.entries()) {
      if (own === length) codes[symbol] = (code++).toString(2).padStart(length, '0');
    }
  }
  return codes;
}

/** Zeros and ones as bytes; the last one is filled up with ones. */
export function fromBits(bits: string): Buffer {
  return Buffer.from((bits.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, '1'), 2)));
}

export function huffman(text: string): Buffer {
  return fromBits(Array.from(text, (character) => huffmanCodes[character.charCodeAt(0)]).join(''));
}

/** An integer (RFC 7541, 5.1) whose first byte has `pattern` in the bits above its `prefixBits`. */
export function hpackInteger(pattern: number, prefixBits: number, value: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.of(pattern | value);
  const bytes = [pattern | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(128 + (rest % 128));
  return Buffer.of(...bytes, rest);
}

export function hpackString(text: string, coded: boolean): Buffer {
  const bytes = coded ? huffman(text) : Buffer.from(text, 'latin1');
  return Buffer.concat([hpackInteger(coded ? 0x80 : 0, 7, bytes.length), bytes]);
}

/** How a field is sent. */
export interface FieldManner {
  readonly as: 'indexed' | 'plain' | 'never';
  readonly coded: boolean;
  /** Whether an entry is referred to where there is one: 0 for no, otherwise the how-manieth of those that fit, from the end. */
  readonly refer: number;
}

/** The other end of a decoder: keeps its table in the plainest way, and can send a field in every way that there is. */
export class HpackPeer {
  /** Newest first. */
  readonly entries: (readonly [name: string, value: string])[] = [];
  #maxBytes = 4096;

  resize(bytes: number): Buffer {
    this.#maxBytes = bytes;
    this.#evict();
    return hpackInteger(0x20, 5, bytes);
  }

  field(name: string, value: string, { as, coded, refer }: FieldManner): Buffer {
    const whole = refer === 0 ? 0 : this.#find(refer, (n, v) => n === name && v === value);
    if (whole > 0) return hpackInteger(0x80, 7, whole);
    const index = refer === 0 ? 0 : this.#find(refer, (n) => n === name);
    const parts = [
      as === 'indexed' ? hpackInteger(0x40, 6, index) : hpackInteger(as === 'never' ? 0x10 : 0, 4, index),
      index === 0 ? hpackString(name, coded) : Buffer.alloc(0),
      hpackString(value, coded),
    ];
    if (as === 'indexed') {
      this.entries.unshift([name, value]);
      this.#evict();
    }
    return Buffer.concat(parts);
  }

  /** A block that names every entry of the table, and what it says. */
  recital(): { block: Buffer; list: string[] } {
    return {
      block: Buffer.concat(this.entries.map((_, i) => hpackInteger(0x80, 7, 62 + i))),
      list: this.entries.flat(),
    };
  }

  #find(which: number, fits: (name: string, value: string) => boolean): number {
    const found: number[] = [];
    for (let index = 1; index <= 61; index++) {
      if (fits(STATIC_TABLE[index * 2]!, STATIC_TABLE[index * 2 + 1]!)) found.push(index);
    }
    for (const [i, [name, value]] of this.entries.entries()) if (fits(name, value)) found.push(62 + i);
    return found.at(-1 - (which % (found.length || 1))) ?? 0;
  }

  #evict(): void {
    const bytes = () => this.entries.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
    while (bytes() > this.#maxBytes) this.entries.pop();
  }
}
