import type { Clock } from '../runtime/clock.ts';

/** Frames that cost us something and their sender nothing: so many at once, and so many a second after that. */
export interface FloodLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/** Counts frames that do not carry a request further: resets, pings, settings, empty and unknown ones (docs/security.md). */
export class FloodGuard {
  #limit: FloodLimit;
  #left: number;
  #sinceMs: number;

  constructor(limit: FloodLimit, nowMs: number) {
    this.#limit = limit;
    this.#left = limit.burst;
    this.#sinceMs = nowMs;
  }

  /** Another limit counts from now on. */
  relax(limit: FloodLimit): void {
    this.#left += limit.burst - this.#limit.burst;
    this.#limit = limit;
  }

  /** False: it is a flood. */
  allow(clock: Clock): boolean {
    if (this.#left >= 1) {
      this.#left--;
      return true;
    }
    const now = clock.monotonicMs(); // only asked when the burst is used up
    const { burst, perSecond } = this.#limit;
    this.#left = Math.min(burst, ((now - this.#sinceMs) / 1000) * perSecond);
    this.#sinceMs = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
