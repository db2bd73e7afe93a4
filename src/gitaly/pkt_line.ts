/** Git's longest packet, its four digits of length included. */
const MAX_PACKET = 65_520;
const LENGTH_DIGITS = 4;

/** What is no packet line. */
export class PktLineError extends Error {
  override readonly name = 'PktLineError';
}

/**
 * Cuts a stream into git's packet lines, wherever its pieces were cut (docs/protocol/gitaly.md). A packet is its content, or
 * undefined for the magic empty ones: flush and its like.
 */
export class PktLineReader {
  #rest = Buffer.alloc(0);

  /** The packets that are complete with `piece`. @throws PktLineError */
  *push(piece: Uint8Array): Generator<Buffer | undefined> {
    this.#rest = this.#rest.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#rest, piece]);
    while (this.#rest.length >= LENGTH_DIGITS) {
      const digits = this.#rest.toString('latin1', 0, LENGTH_DIGITS);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new PktLineError(`invalid packet length "${printable(digits)}"`);
      const length = Number.parseInt(digits, 16);
      if (length > MAX_PACKET) throw new PktLineError(`packet of ${length} bytes is too long`);
      if (length < LENGTH_DIGITS) {
        this.#rest = this.#rest.subarray(LENGTH_DIGITS);
        yield undefined;
      } else {
        if (this.#rest.length < length) return;
        const packet = this.#rest.subarray(LENGTH_DIGITS, length);
        this.#rest = this.#rest.subarray(length);
        yield packet;
      }
    }
  }

  /** Whether a packet has begun that is not complete. */
  get hasRest(): boolean {
    return this.#rest.length > 0;
  }
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}
