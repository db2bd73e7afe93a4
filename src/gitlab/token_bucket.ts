import type { RateLimit } from '../config/config.ts';
import type { LimiterObserver } from '../observability/limiter_metrics.ts';
import type { Clock, Timer } from '../runtime/clock.ts';

interface Waiter {
  readonly go: () => void;
}

/** Lets `bucketSize` callers through at once and `refillRatePerSecond` in the long run; the others wait in order. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #limit: RateLimit;
  readonly #observe: LimiterObserver | undefined;
  #tokens: number;
  #filledAtMs: number;
  readonly #waiting = new Set<Waiter>();
  #timer: Timer | undefined;

  constructor(clock: Clock, limit: RateLimit, observe?: LimiterObserver) {
    this.#clock = clock;
    this.#limit = limit;
    this.#observe = observe;
    this.#tokens = limit.bucketSize;
    this.#filledAtMs = clock.monotonicMs();
  }

  /** Resolves when it is the caller's turn; rejects with the signal's reason if that fires before. */
  take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    this.#refill();
    if (this.#waiting.size === 0 && this.#tokens >= 1) {
      this.#tokens--;
      this.#observe?.(0, true);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.monotonicMs();
      const abort = () => {
        this.#waiting.delete(waiter);
        this.#observe?.(this.#clock.monotonicMs() - sinceMs, false);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        go: () => {
          signal.removeEventListener('abort', abort);
          this.#observe?.(this.#clock.monotonicMs() - sinceMs, true);
          resolve();
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.add(waiter);
      this.#arm();
    });
  }

  /** How long a caller that comes now would wait, in milliseconds. */
  waitMs(): number {
    this.#refill();
    return Math.max(0, ((this.#waiting.size + 1 - this.#tokens) / this.#limit.refillRatePerSecond) * 1000);
  }

  #refill(): void {
    const now = this.#clock.monotonicMs();
    const earned = ((now - this.#filledAtMs) / 1000) * this.#limit.refillRatePerSecond;
    this.#tokens = Math.min(this.#limit.bucketSize, this.#tokens + earned);
    this.#filledAtMs = now;
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#waiting.size === 0) return;
    // Rounded up: a timer that fires before its token is whole would only be set again.
    const delayMs = Math.ceil(((1 - this.#tokens) / this.#limit.refillRatePerSecond) * 1000);
    this.#timer = this.#clock.startTimer(Math.max(1, delayMs), () => {
      this.#timer = undefined;
      this.#refill();
      for (const waiter of this.#waiting) {
        if (this.#tokens < 1) break;
        this.#tokens--;
        this.#waiting.delete(waiter);
        waiter.go();
      }
      this.#arm();
    });
  }
}
