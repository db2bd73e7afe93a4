import type { RateLimit } from '../config/config.ts';
import type { LimiterObserver } from '../observability/limiter_metrics.ts';
import type { Clock, Timer } from '../runtime/clock.ts';

interface Waiter {
  readonly go: () => void;
}

/** Who waits. */
export type Queue = 'people' | 'agents';

/**
 * Lets `bucketSize` callers through at once and `refillRatePerSecond` in the long run; the others wait in order, but in two queues
 * that take turns: when thousands of agents come at once, somebody who waits for an answer does not wait for all of them, nor
 * can people hold up agents.
 */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #limit: RateLimit;
  readonly #observe: LimiterObserver | undefined;
  #tokens: number;
  #filledAtMs: number;
  readonly #waiting: Readonly<Record<Queue, Set<Waiter>>> = { people: new Set(), agents: new Set() };
  #turn: Queue = 'people';
  #timer: Timer | undefined;

  constructor(clock: Clock, limit: RateLimit, observe?: LimiterObserver) {
    this.#clock = clock;
    this.#limit = limit;
    this.#observe = observe;
    this.#tokens = limit.bucketSize;
    this.#filledAtMs = clock.monotonicMs();
  }

  /** Resolves when it is the caller's turn; rejects with the signal's reason if that fires before. */
  take(signal: AbortSignal, queue: Queue = 'agents'): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    this.#refill();
    if (this.#waitingCount === 0 && this.#tokens >= 1) {
      this.#tokens--;
      this.#observe?.(0, true);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.monotonicMs();
      const abort = () => {
        this.#waiting[queue].delete(waiter);
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
      this.#waiting[queue].add(waiter);
      this.#arm();
    });
  }

  /** How long a caller that comes now would wait, in milliseconds, if none of the other queue comes later. */
  waitMs(): number {
    this.#refill();
    return Math.max(0, ((this.#waitingCount + 1 - this.#tokens) / this.#limit.refillRatePerSecond) * 1000);
  }

  get #waitingCount(): number {
    return this.#waiting.people.size + this.#waiting.agents.size;
  }

  /** Whose turn it is: the queues alternate as long as there is somebody in both. */
  #next(): Waiter | undefined {
    const other = this.#turn === 'people' ? 'agents' : 'people';
    const queue = this.#waiting[this.#turn].size > 0 ? this.#turn : other;
    const [waiter] = this.#waiting[queue];
    if (waiter === undefined) return undefined;
    this.#waiting[queue].delete(waiter);
    this.#turn = queue === 'people' ? 'agents' : 'people';
    return waiter;
  }

  #refill(): void {
    const now = this.#clock.monotonicMs();
    const earned = ((now - this.#filledAtMs) / 1000) * this.#limit.refillRatePerSecond;
    this.#tokens = Math.min(this.#limit.bucketSize, this.#tokens + earned);
    this.#filledAtMs = now;
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#waitingCount === 0) return;
    // Rounded up: a timer that fires before its token is whole would only be set again.
    const delayMs = Math.ceil(((1 - this.#tokens) / this.#limit.refillRatePerSecond) * 1000);
    this.#timer = this.#clock.startTimer(Math.max(1, delayMs), () => {
      this.#timer = undefined;
      this.#refill();
      while (this.#tokens >= 1) {
        const waiter = this.#next();
        if (waiter === undefined) break;
        this.#tokens--;
        waiter.go();
      }
      this.#arm();
    });
  }
}
