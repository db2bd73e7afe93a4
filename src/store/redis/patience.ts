import type { Scope } from '../../runtime/scope.ts';
import { RedisError } from './redis_error.ts';

/** For those who can go on without an answer: they do not wait for the whole time that a command may take. */
export class Patience {
  readonly #scope: Scope;
  readonly #ms: number;

  constructor(scope: Scope, ms: number) {
    this.#scope = scope;
    this.#ms = ms;
  }

  /** The answer, or a rejection after the time. The command itself goes on. */
  wait<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#scope.timeout(this.#ms, () => reject(new RedisError(`no answer within ${this.#ms} ms`)));
      answer.then(resolve, reject).finally(() => timer.stop());
    });
  }
}
