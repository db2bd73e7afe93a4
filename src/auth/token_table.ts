import { timingSafeEqual } from 'node:crypto';
import { tokenHash } from './token_hash.ts';

/**
 * Finds what belongs to a token by the token's SHA-256. The hash is looked up by its first bytes, which whoever guesses
 * tokens cannot choose, and compared as a whole in constant time.
 */
export class TokenTable<V> {
  readonly #rows = new Map<number, [Buffer, V][]>();

  /** @param rows SHA-256 of each token (32 bytes) and what belongs to it; of equal ones the first counts */
  constructor(rows: readonly (readonly [Buffer, V])[]) {
    for (const [hash, value] of rows) {
      const bucket = this.#rows.get(hash.readUInt32LE());
      if (bucket === undefined) this.#rows.set(hash.readUInt32LE(), [[hash, value]]);
      else bucket.push([hash, value]);
    }
  }

  find(token: string): V | undefined {
    const hash = tokenHash(token);
    let found: V | undefined;
    for (const [known, value] of this.#rows.get(hash.readUInt32LE()) ?? []) {
      if (timingSafeEqual(known, hash)) found ??= value;
    }
    return found;
  }
}
