/** What an entry costs beside its name and value (RFC 7541, 4.1). */
export const ENTRY_OVERHEAD = 32;
/** The size of a table that nobody has said anything about (RFC 9113, 6.5.2). */
export const INITIAL_TABLE_BYTES = 4096;

const NO_SLOTS: string[] = [];
/** A typical client of gRPC keeps about ten fields. A power of two, as is every later length of the ring. */
const FIRST_SLOTS = 16;

/** The fields that both ends remember (RFC 7541, 2.3.2), newest first. */
export class DynamicTable {
  /** A ring; name and value of an entry stand side by side. It grows with the entries, which `#maxBytes` bounds. */
  #ring = NO_SLOTS;
  /** Entries that the ring has room for, minus one. */
  #mask = -1;
  /** Where the next entry goes, before it is wrapped around. */
  #next = 0;
  #length = 0;
  #bytes = 0;
  #maxBytes = INITIAL_TABLE_BYTES;

  /** How many entries there are. */
  get length(): number {
    return this.#length;
  }

  /** The name of an entry; 0 is the newest one, `length - 1` the oldest one. */
  name(position: number): string {
    return this.#ring[((this.#next - 1 - position) & this.#mask) << 1]!;
  }

  value(position: number): string {
    return this.#ring[(((this.#next - 1 - position) & this.#mask) << 1) | 1]!;
  }

  /** Makes room at the old end, then adds. What is larger than the whole table only empties it (RFC 7541, 4.4). */
  add(name: string, value: string): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD;
    this.#shrinkTo(this.#maxBytes - bytes);
    if (bytes > this.#maxBytes) return;
    if (this.#length > this.#mask) this.#grow();
    const slot = (this.#next & this.#mask) << 1;
    this.#ring[slot] = name;
    this.#ring[slot | 1] = value;
    this.#next = (this.#next + 1) & this.#mask;
    this.#length++;
    this.#bytes += bytes;
  }

  /** What the entries may cost together, from now on (RFC 7541, 4.3). */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#shrinkTo(maxBytes);
  }

  #shrinkTo(bytes: number): void {
    while (this.#bytes > bytes && this.#length > 0) {
      const slot = ((this.#next - this.#length) & this.#mask) << 1;
      this.#bytes -= this.#ring[slot]!.length + this.#ring[slot | 1]!.length + ENTRY_OVERHEAD;
      this.#ring[slot] = '';
      this.#ring[slot | 1] = '';
      this.#length--;
    }
  }

  #grow(): void {
    const room = Math.max(FIRST_SLOTS, (this.#mask + 1) << 1);
    const ring = new Array<string>(room << 1).fill('');
    for (let to = 0; to < this.#length; to++) {
      const position = this.#length - 1 - to;
      ring[to << 1] = this.name(position);
      ring[(to << 1) | 1] = this.value(position);
    }
    this.#ring = ring;
    this.#mask = room - 1;
    this.#next = this.#length;
  }
}
