import type { Clock, Timer } from './clock.ts';

interface Pending {
  readonly atMs: number;
  readonly f: () => void;
}

/** A clock that stands still until a test moves it. Timers run in the order of their times, inside `advance`. */
export class FakeClock implements Clock {
  #monotonic = 0;
  #wall: number;
  readonly #pending = new Set<Pending>();

  /** @param wallMs the wall clock at the start, in milliseconds since the Unix epoch */
  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wall = wallMs;
  }

  /** How many timers would still fire. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  monotonicMs(): number {
    return this.#monotonic;
  }

  wallMs(): number {
    return this.#wall;
  }

  startTimer(delayMs: number, f: () => void): Timer {
    const pending = { atMs: this.#monotonic + Math.max(0, delayMs), f };
    this.#pending.add(pending);
    return { stop: () => void this.#pending.delete(pending) };
  }

  /** Moves both clocks on by `ms`; timers that fall due, also those started meanwhile, fire at their own time. */
  advance(ms: number): void {
    const end = this.#monotonic + ms;
    for (;;) {
      const next = this.#nextUntil(end);
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#moveTo(next.atMs);
      next.f();
    }
    this.#moveTo(end);
  }

  #nextUntil(end: number): Pending | undefined {
    let next: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.atMs <= end && (next === undefined || pending.atMs < next.atMs)) next = pending;
    }
    return next;
  }

  #moveTo(monotonicMs: number): void {
    this.#wall += monotonicMs - this.#monotonic;
    this.#monotonic = monotonicMs;
  }
}
