import type { Closeable, Scope } from './scope.ts';

/** Does something again and again, as long as a scope is open; a poke cuts the wait between two rounds short. */
export class PollLoop {
  readonly #scope: Scope;
  #poked = false;
  #wake: (() => void) | undefined;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** There is reason to look now. While a round runs it is remembered: the round may have looked too early. */
  poke(): void {
    if (this.#wake === undefined) this.#poked = true;
    else this.#wake();
  }

  /**
   * Resolves when a round returns undefined, or when the scope is closed; rejects with what a round throws.
   * @param round returns how long to wait before the next one, in milliseconds
   */
  async run(round: () => Promise<number | undefined>): Promise<void> {
    while (!this.#scope.closed) {
      const waitMs = await round();
      if (waitMs === undefined) return;
      await this.#wait(waitMs);
    }
  }

  #wait(ms: number): Promise<void> {
    if (this.#poked || this.#scope.closed) {
      this.#poked = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const wake = () => {
        this.#wake = undefined;
        timer.stop();
        this.#scope.disown(waiter);
        resolve();
      };
      const waiter: Closeable = { close: wake };
      const timer = this.#scope.clock.startTimer(ms, wake);
      this.#wake = wake;
      this.#scope.own(waiter);
    });
  }
}
