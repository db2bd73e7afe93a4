import type { Clock, Timer } from './clock.ts';

interface Entry<V> {
  readonly value: V;
  readonly expiresAtMs: number;
}

/**
 * A map whose entries die: none is returned after its time, and none stays in memory for longer than twice its time, even
 * if nobody asks any more (keys may be credentials). Holds at most `maxEntries`; then the oldest goes.
 */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #maxEntries: number;
  /** In the order of insertion. */
  readonly #entries = new Map<string, Entry<V>>();
  #sweep: { readonly timer: Timer; readonly atMs: number } | undefined;

  constructor(clock: Clock, maxEntries: number) {
    this.#clock = clock;
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.expiresAtMs > this.#clock.monotonicMs() ? entry.value : undefined;
  }

  set(key: string, value: V, ttlMs: number): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#maxEntries) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { value, expiresAtMs: this.#clock.monotonicMs() + ttlMs });
    this.#sweepIn(ttlMs);
  }

  /**
   * Those whose time is not over, and how long each has left.
   * @param keys of these alone
   */
  *live(
    keys: Iterable<string> = this.#entries.keys(),
  ): Iterable<{ readonly key: string; readonly value: V; readonly leftMs: number }> {
    const now = this.#clock.monotonicMs();
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry !== undefined && entry.expiresAtMs > now) {
        yield { key, value: entry.value, leftMs: entry.expiresAtMs - now };
      }
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** One timer for all entries, so a busy map is swept about once per lifetime and an empty one never. */
  #sweepIn(delayMs: number): void {
    const atMs = this.#clock.monotonicMs() + delayMs;
    if (this.#sweep !== undefined) {
      if (this.#sweep.atMs <= atMs) return;
      this.#sweep.timer.stop();
    }
    this.#sweep = { atMs, timer: this.#clock.startTimer(delayMs, () => this.#removeExpired(delayMs)) };
  }

  #removeExpired(periodMs: number): void {
    this.#sweep = undefined;
    const now = this.#clock.monotonicMs();
    for (const [key, entry] of this.#entries) if (entry.expiresAtMs <= now) this.#entries.delete(key);
    if (this.#entries.size > 0) this.#sweepIn(periodMs);
  }
}
