import { HpackError } from './hpack_error.ts';
import { decodeHuffman, mostDecoded } from './huffman.ts';

/** Nobody needs larger numbers; RFC 7541, 5.1 lets a decoder set such a limit. */
const MAX_INTEGER = 2 ** 31;
const MAX_CONTINUATION_BYTES = 5;

const SCRATCH_BYTES = 4096;
/** Where strings are decoded to before they become strings; one is done with before the next begins. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** Integers and strings of a header block (RFC 7541, 5), one after another. */
export class BlockReader {
  readonly #block: Buffer;
  #at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  get hasMore(): boolean {
    return this.#at < this.#block.length;
  }

  /** The byte that is read next. */
  peek(): number {
    return this.#block[this.#at]!;
  }

  /** @throws HpackError if the block has ended */
  byte(): number {
    if (this.#at >= this.#block.length) throw new HpackError('a header block ends within a field');
    return this.#block[this.#at++]!;
  }

  /**
   * An integer that begins in the byte which was read last (RFC 7541, 5.1).
   *
   * @param first that byte
   * @param mask which bits of it the integer has
   */
  integer(first: number, mask: number): number {
    const prefix = first & mask;
    return prefix < mask ? prefix : this.#longInteger(mask);
  }

  /** A string (RFC 7541, 5.2), a character a byte. */
  text(): string {
    const first = this.byte();
    const length = this.integer(first, 0x7f);
    const start = this.#at;
    const end = start + length;
    if (end > this.#block.length) throw new HpackError('a header block ends within a string');
    this.#at = end;
    if (length === 0) return '';
    if (first < 0x80) return this.#block.toString('latin1', start, end);
    const room = mostDecoded(length);
    const to = room <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafe(room);
    return to.toString('latin1', 0, decodeHuffman(this.#block, start, end, to));
  }

  #longInteger(prefix: number): number {
    let value = prefix;
    for (let i = 0; i < MAX_CONTINUATION_BYTES; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte >= 0x80) continue;
      if (value <= MAX_INTEGER) return value;
      break;
    }
    throw new HpackError('an integer in a header block is too large');
  }
}
