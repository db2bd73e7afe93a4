import type { Clock } from '../../runtime/clock.ts';
import { ExpiringMap } from '../../runtime/expiring_map.ts';
import type { CachedError, ErrorCache, Known, LookupKinds } from '../error_cache.ts';

/** Random credentials are refused one by one; this many refusals are worth remembering at a time. */
const MAX_ERRORS = 100_000;

/** Refusals known to this process. */
export class MemoryErrorCache implements ErrorCache {
  readonly #errors: ExpiringMap<CachedError>;

  constructor(clock: Clock) {
    this.#errors = new ExpiringMap(clock, MAX_ERRORS);
  }

  get(kind: string, hash: Buffer): Promise<CachedError | undefined> {
    return Promise.resolve(this.#errors.get(keyOf(kind, hash)));
  }

  set(kind: string, hash: Buffer, error: CachedError, ttlMs: number): Promise<void> {
    this.#errors.set(keyOf(kind, hash), error, ttlMs);
    return Promise.resolve();
  }

  look({ errors }: LookupKinds, hash: Buffer): Promise<Known> {
    return Promise.resolve({ error: this.#errors.get(keyOf(errors, hash)) });
  }

  /** There is nobody to share with. */
  share(): Promise<void> {
    return Promise.resolve();
  }
}

function keyOf(kind: string, hash: Buffer): string {
  return `${kind}:${hash.toString('latin1')}`;
}
