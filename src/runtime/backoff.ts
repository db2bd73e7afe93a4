import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

/** All times in milliseconds. */
export interface BackoffOptions {
  readonly initMs: number;
  /** The longest delay, its jitter not counted. */
  readonly maxMs: number;
  /** The delays begin anew when none was asked for in such a time. */
  readonly resetMs: number;
  readonly factor: number;
  /** The part of the delay that may be added to it, so that those who failed together do not come back together. */
  readonly jitter: number;
}

/** Delays that grow with each failure. */
export class Backoff {
  readonly #options: BackoffOptions;
  readonly #deps: { readonly clock: Clock; readonly random: Random };
  #delayMs: number;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: BackoffOptions, deps: { readonly clock: Clock; readonly random: Random }) {
    this.#options = options;
    this.#deps = deps;
    this.#delayMs = options.initMs;
  }

  /** How long to wait now. */
  nextMs(): number {
    const { initMs, maxMs, resetMs, factor, jitter } = this.#options;
    const now = this.#deps.clock.monotonicMs();
    if (now - this.#askedAtMs > resetMs) this.#delayMs = initMs;
    this.#askedAtMs = now;
    const delayMs = Math.min(this.#delayMs, maxMs);
    this.#delayMs = Math.min(this.#delayMs * factor, maxMs);
    return delayMs * (1 + this.#deps.random.fraction() * jitter);
  }
}
