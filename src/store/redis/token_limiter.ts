import { MemoryTokenLimiter } from '../memory/token_limiter.ts';
import type { TokenLimiter } from '../token_limiter.ts';
import type { AskingDeps } from './asking_deps.ts';
import { asBytes, asNumber, requireDone } from './reply.ts';

/** A counter starts with its minute of the hour, which comes again after 60 minutes. */
const LIFE_SECONDS = '59';

/**
 * A counter for each token and minute. What Redis cannot count is counted here: that lets in more, and keeps agents connected.
 */
export class RedisTokenLimiter implements TokenLimiter {
  readonly #deps: AskingDeps;
  readonly #here: MemoryTokenLimiter;

  constructor(deps: AskingDeps) {
    this.#deps = deps;
    this.#here = new MemoryTokenLimiter(deps.clock);
  }

  async tryTake(tokenHash: Buffer, limit: number): Promise<boolean> {
    const { keys, clock, patience, trouble } = this.#deps;
    const minute = Math.floor(clock.wallMs() / 60_000) % 60;
    try {
      return await patience.wait(this.#count(keys.tokenCount(tokenHash, minute), limit));
    } catch (error) {
      trouble.failed('redistool.TokenLimiter: error retrieving minute bucket count', error);
      return this.#here.tryTake(tokenHash, limit);
    }
  }

  async #count(key: Buffer, limit: number): Promise<boolean> {
    const { redis } = this.#deps;
    const before = Number(asBytes(await redis.send(['GET', key])) ?? 0);
    if (before >= limit) return false;
    const replies = await redis.transaction([
      ['INCR', key],
      ['EXPIRE', key, LIFE_SECONDS],
    ]);
    requireDone(replies);
    return asNumber(replies[0]) <= limit;
  }
}
