import { BlockReader } from './block_reader.ts';
import { DynamicTable, ENTRY_OVERHEAD, INITIAL_TABLE_BYTES } from './dynamic_table.ts';
import { HpackError } from './hpack_error.ts';
import { STATIC_TABLE, STATIC_TABLE_LENGTH } from './static_table.ts';

export { HpackError };

/** How large a header list may be: in bytes as RFC 9113, 6.5.2 counts them (name, value and 32 for each field), and in fields. */
export interface HeaderListLimit {
  readonly bytes: number;
  readonly pairs: number;
}

// The first bits of a field say what it is (RFC 7541, 6); the other bits of its first byte begin an integer.
const INDEXED = 0x80;
const INDEXED_MASK = 0x7f;
const LITERAL_INDEXING = 0x40;
const LITERAL_INDEXING_MASK = 0x3f;
const SIZE_UPDATE = 0x20;
const SIZE_UPDATE_MASK = 0x1f;
/** Literals which are not to be indexed: here, or anywhere (0x10). To a decoder that passes nothing on they are the same. */
const LITERAL_MASK = 0x0f;

/** Reads the header blocks that one peer sends (RFC 7541), in the order in which they come. */
export class HpackDecoder {
  readonly #table = new DynamicTable();
  readonly #maxTableBytes: number;

  /**
   * @param maxTableBytes what our SETTINGS_HEADER_TABLE_SIZE allows the peer. Its table begins with 4096 all the same: a peer may not know our
   * settings yet, and it has to announce any other size (RFC 7541, 4.2).
   */
  constructor(maxTableBytes: number = INITIAL_TABLE_BYTES) {
    this.#maxTableBytes = maxTableBytes;
  }

  /**
   * Reads one whole header block: a HEADERS frame's and those of its CONTINUATIONs, joined.
   *
   * @returns names and values in turn, a character a byte, or undefined if they are more than `limit`. The dynamic table follows the peer's in
   * either case, and a list that is too large is not built.
   * @throws HpackError after which this decoder is of no use
   */
  decode(block: Buffer, limit: HeaderListLimit): string[] | undefined {
    const reader = new BlockReader(block);
    const table = this.#table;
    this.#readSizeUpdates(reader);
    const list: string[] = [];
    const maxLength = limit.pairs * 2;
    let bytesLeft = limit.bytes;
    while (reader.hasMore) {
      const first = reader.byte();
      let name: string;
      let value: string;
      if (first >= INDEXED) {
        const index = reader.integer(first, INDEXED_MASK);
        name = this.#name(index);
        value =
          index <= STATIC_TABLE_LENGTH ? STATIC_TABLE[index * 2 + 1]! : table.value(index - STATIC_TABLE_LENGTH - 1);
      } else if (first >= LITERAL_INDEXING) {
        const index = reader.integer(first, LITERAL_INDEXING_MASK);
        name = index === 0 ? reader.text() : this.#name(index);
        value = reader.text();
        table.add(name, value);
      } else if (first < SIZE_UPDATE) {
        const index = reader.integer(first, LITERAL_MASK);
        name = index === 0 ? reader.text() : this.#name(index);
        value = reader.text();
      } else throw new HpackError('a header block changes the size of the table behind its beginning');
      bytesLeft -= name.length + value.length + ENTRY_OVERHEAD;
      if (bytesLeft >= 0 && list.length < maxLength) list.push(name, value);
      else bytesLeft = -1;
    }
    return bytesLeft >= 0 ? list : undefined;
  }

  /** The name of an entry of either table (RFC 7541, 2.3.3). */
  #name(index: number): string {
    if (index <= STATIC_TABLE_LENGTH && index > 0) return STATIC_TABLE[index * 2]!;
    const position = index - STATIC_TABLE_LENGTH - 1;
    if (index === 0 || position >= this.#table.length)
      throw new HpackError(`a header block refers to entry ${index}, which is none`);
    return this.#table.name(position);
  }

  /** RFC 7541, 4.2: at the beginning of a block only, and two at the most make sense: the smallest size in between, and the last. */
  #readSizeUpdates(reader: BlockReader): void {
    while (reader.hasMore) {
      const next = reader.peek();
      if (next < SIZE_UPDATE || next >= LITERAL_INDEXING) return;
      const bytes = reader.integer(reader.byte(), SIZE_UPDATE_MASK);
      if (bytes > this.#maxTableBytes) {
        throw new HpackError(`a header block makes the table ${bytes} bytes large; ${this.#maxTableBytes} are allowed`);
      }
      this.#table.resize(bytes);
    }
  }
}
