import type { Clock } from '../runtime/clock.ts';

/** Lets a thing be said once in a while, however often it is true. */
export class NowAndThen {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  /** True if it may be said now; then not again for a while. */
  get due(): boolean {
    const now = this.#clock.monotonicMs();
    if (now - this.#lastMs < this.#everyMs) return false;
    this.#lastMs = now;
    return true;
  }
}
