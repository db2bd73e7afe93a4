import type { Clock } from '../../runtime/clock.ts';
import { MemoryTokenLimiter } from '../memory/token_limiter.ts';
import type { TokenLimiter } from '../token_limiter.ts';
import type { RedisConnection } from './connection.ts';
import type { Keys } from './keys.ts';
import type { Patience } from './patience.ts';
import { asBytes, asNumber, requireDone } from './reply.ts';
import type { Trouble } from './trouble.ts';

/** A counter starts with its minute of the hour, which comes again after 60 minutes. */
const LIFE_SECONDS = '59';

/**
 * A counter for each token and minute. What Redis cannot count is counted here: that lets in more, and keeps agents connected.
 */
export class RedisTokenLimiter implements TokenLimiter {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly #patience: Patience;
  readonly #trouble: Trouble;
  readonly #here: MemoryTokenLimiter;

  constructor(deps: {
    readonly redis: RedisConnection;
    readonly keys: Keys;
    readonly clock: Clock;
    readonly patience: Patience;
    readonly trouble: Trouble;
  }) {
    this.#redis = deps.redis;
    this.#keys = deps.keys;
    this.#clock = deps.clock;
    this.#patience = deps.patience;
    this.#trouble = deps.trouble;
    this.#here = new MemoryTokenLimiter(deps.clock);
  }

  async tryTake(tokenHash: Buffer, limit: number): Promise<boolean> {
    const minute = Math.floor(this.#clock.wallMs() / 60_000) % 60;
    try {
      return await this.#patience.wait(this.#count(this.#keys.tokenCount(tokenHash, minute), limit));
    } catch (error) {
      this.#trouble.failed('redistool.TokenLimiter: error retrieving minute bucket count', error);
      return this.#here.tryTake(tokenHash, limit);
    }
  }

  async #count(key: Buffer, limit: number): Promise<boolean> {
    const before = Number(asBytes(await this.#redis.send(['GET', key])) ?? 0);
    if (before >= limit) return false;
    const replies = await this.#redis.transaction([
      ['INCR', key],
      ['EXPIRE', key, LIFE_SECONDS],
    ]);
    requireDone(replies);
    return asNumber(replies[0]) <= limit;
  }
}
