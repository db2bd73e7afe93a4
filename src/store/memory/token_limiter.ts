import type { Clock } from '../../runtime/clock.ts';
import type { TokenLimiter } from '../token_limiter.ts';

/** Tokens counted in one minute. Beyond it the oldest is forgotten: who sends that many tokens has them all refused anyway. */
const MAX_TOKENS = 100_000;

/** Counters of the current minute in this process. */
export class MemoryTokenLimiter implements TokenLimiter {
  readonly #clock: Clock;
  readonly #counts = new Map<string, number>();
  #minute = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tryTake(tokenHash: Buffer, limit: number): Promise<boolean> {
    const minute = Math.floor(this.#clock.wallMs() / 60_000);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#counts.clear();
    }
    const key = tokenHash.toString('latin1');
    const count = this.#counts.get(key) ?? 0;
    if (count >= limit) return Promise.resolve(false);
    if (count === 0 && this.#counts.size >= MAX_TOKENS) this.#counts.delete(this.#counts.keys().next().value ?? '');
    this.#counts.set(key, count + 1);
    return Promise.resolve(true);
  }
}
