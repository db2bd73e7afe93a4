/**
 * Time comes in from outside, so that tests decide what time it is.
 * Durations are measured on the monotonic clock; only JWTs, stored expiry and log lines read the wall clock.
 */
export interface Clock {
  /** Milliseconds since some fixed point; never goes back. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch. */
  wallMs(): number;
  /** Calls `f` once after `delayMs`. The timer does not keep the process alive. */
  startTimer(delayMs: number, f: () => void): Timer;
}

export interface Timer {
  /** Makes sure that the function is not called (any more). Idempotent. */
  stop(): void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  startTimer(delayMs, f) {
    // setTimeout turns delays beyond 2^31-1 ms into 1 ms; nothing here waits for 24 days on purpose.
    return new SystemTimer(setTimeout(f, Math.min(delayMs, 0x7fffffff)).unref());
  },
};

/** A class, because each agent has several: an object with a function of its own weighs four times as much. */
class SystemTimer implements Timer {
  readonly #handle: NodeJS.Timeout;

  constructor(handle: NodeJS.Timeout) {
    this.#handle = handle;
  }

  stop(): void {
    clearTimeout(this.#handle);
  }
}
