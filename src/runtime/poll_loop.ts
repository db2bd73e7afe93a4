import type { Timer } from './clock.ts';
import type { Closeable, Scope } from './scope.ts';

/**
 * Does something again and again, as long as a scope is open; a poke cuts the wait between two rounds short. Each agent has one that waits: so it is
 * an object and a timer, while an async function that waits is a dozen objects.
 */
export class PollLoop implements Closeable {
  readonly #scope: Scope;
  #round: (() => Promise<number | undefined>) | undefined;
  #resolve = () => {};
  #reject: (error: unknown) => void = () => {};
  #poked = false;
  /** Between two rounds. */
  #wait: Timer | undefined;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** There is reason to look now. While a round runs it is remembered: the round may have looked too early. */
  poke(): void {
    if (this.#wait === undefined) this.#poked = true;
    else this.#wake();
  }

  /**
   * Resolves when a round returns undefined, or when the scope is closed; rejects with what a round throws.
   * @param round returns how long to wait before the next one, in milliseconds
   */
  run(round: () => Promise<number | undefined>): Promise<void> {
    this.#round = round;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#goOn();
    });
  }

  /** For the scope, which is closed. */
  close(): void {
    this.#wake();
  }

  #goOn(): void {
    if (this.#scope.closed) this.#resolve();
    else this.#round?.().then((waitMs) => this.#rounded(waitMs), this.#reject);
  }

  #rounded(waitMs: number | undefined): void {
    if (waitMs === undefined) this.#resolve();
    else if (this.#poked || this.#scope.closed) {
      this.#poked = false;
      this.#goOn();
    } else {
      this.#wait = this.#scope.clock.startTimer(waitMs, () => this.#wake());
      this.#scope.own(this);
    }
  }

  #wake(): void {
    this.#wait?.stop();
    this.#wait = undefined;
    this.#scope.disown(this);
    this.#goOn();
  }
}
