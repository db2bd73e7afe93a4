import type { Timer } from '../../runtime/clock.ts';
import type { Scope } from '../../runtime/scope.ts';
import { RedisError } from './redis_error.ts';

/**
 * For those who can go on without an answer: they do not wait for a silent Redis for the whole time that a command may take. One that
 * answers others is busy, and waited for.
 */
export class Patience {
  readonly #scope: Scope;
  readonly #ms: number;
  readonly #silentMs: () => number;

  /** @param silentMs for how long Redis has answered nobody */
  constructor(scope: Scope, ms: number, silentMs: () => number) {
    this.#scope = scope;
    this.#ms = ms;
    this.#silentMs = silentMs;
  }

  /** The answer, or a rejection after the time. The command itself goes on. */
  wait<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let over = false;
      let timer: Timer;
      const waitFor = (ms: number) => {
        // If this process had no time, the answer may have come long ago: first it is read.
        timer = this.#scope.timeout(ms, () => setImmediate(decide));
      };
      const decide = () => {
        const leftMs = this.#ms - this.#silentMs();
        if (over) return;
        if (leftMs > 0) waitFor(leftMs);
        else reject(new RedisError(`no answer within ${this.#ms} ms`));
      };
      waitFor(this.#ms);
      answer.then(resolve, reject).finally(() => {
        over = true;
        timer.stop();
      });
    });
  }
}
