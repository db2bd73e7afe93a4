import type { Scope } from '../../../src/runtime/scope.ts';
import type { Exchange } from './exchange.ts';

/** Who sends the body. */
interface BodySource {
  pauseRequests(): void;
  resumeRequests(): void;
}

/** The body of a request on its way to the API server; it may have to wait for the start. */
export class RequestBody {
  readonly #exchange: () => Exchange | undefined;
  readonly #source: BodySource;
  #held: Buffer[] | undefined;
  #release: (() => void) | undefined;
  #releaseOnData = false;
  ended = false;

  constructor(exchange: () => Exchange | undefined, source: BodySource) {
    this.#exchange = exchange;
    this.#source = source;
  }

  /**
   * Keeps the body back for `ms` at most, and no longer than `until` its first byte or its end, or a `100 Continue` comes.
   * Then calls `f`, which may start the exchange, and goes on.
   */
  hold(scope: Scope, ms: number, until: 'until data' | 'until continue', f: (empty: boolean) => void): void {
    this.#held = [];
    this.#releaseOnData = until === 'until data';
    const timer = scope.timeout(ms, () => this.release());
    this.#release = () => {
      timer.stop();
      const held = this.#held ?? [];
      f(this.ended && held.length === 0);
      this.#held = undefined;
      for (const chunk of held) this.#exchange()?.write(chunk);
      if (this.ended) this.#exchange()?.endBody();
      this.#source.resumeRequests();
    };
  }

  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  write(chunk: Buffer): void {
    if (chunk.length === 0) return;
    if (this.#held === undefined) {
      if (this.#exchange()?.write(chunk) === false) this.#source.pauseRequests();
      return;
    }
    this.#held.push(chunk);
    if (this.#releaseOnData) this.release();
    else this.#source.pauseRequests();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    if (this.#held === undefined) this.#exchange()?.endBody();
    else if (this.#releaseOnData) this.release();
  }
}
