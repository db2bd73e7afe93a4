import type { Patience } from './patience.ts';
import type { Trouble } from './trouble.ts';

/** Work that is done whether somebody waits for it or not. */
export class BackgroundWork {
  readonly #patience: Patience;
  readonly #trouble: Trouble;
  readonly #whenIdle: (() => void)[] = [];
  #running = 0;

  constructor(deps: { readonly patience: Patience; readonly trouble: Trouble }) {
    this.#patience = deps.patience;
    this.#trouble = deps.trouble;
  }

  /** Does it, and tells the log if it fails. Never rejects. */
  async run(failure: string, f: () => Promise<void>): Promise<void> {
    this.#running++;
    try {
      await f();
    } catch (error) {
      this.#trouble.failed(failure, error);
    } finally {
      if (--this.#running === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    }
  }

  /** The same for those who wait for it, which is not for long. */
  runFor(failure: string, f: () => Promise<void>): Promise<void> {
    return this.#patience.wait(this.run(failure, f)).catch(() => {});
  }

  /** Resolves when all of it is done. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }
}
