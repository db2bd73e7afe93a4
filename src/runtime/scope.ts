import type { Clock, Timer } from './clock.ts';

/**
 * Who owns what: process → listener → session → stream. Closing a scope closes its children, the things it owns
 * (newest first) and its timers; whatever registers with a closed scope is closed at once. So nothing outlives its owner.
 */
export class Scope {
  readonly clock: Clock;
  #parent: Scope | undefined;
  #owned: Set<Closeable> | undefined = new Set();
  #controller: AbortController | undefined;
  #reason: unknown;

  constructor(clock: Clock, parent?: Scope) {
    this.clock = clock;
    this.#parent = parent;
  }

  get closed(): boolean {
    return this.#owned === undefined;
  }

  /** Why the scope was closed; undefined while it is open. */
  get reason(): unknown {
    return this.#reason;
  }

  /** For APIs that want an AbortSignal; made on first use, because most scopes never need one. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.closed) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /**
   * Hands an AbortSignal to `work` that fires when the scope closes. Unlike `signal` nothing of it is left when the work is done: it is for scopes
   * that live long after.
   */
  async during<V>(work: (signal: AbortSignal) => Promise<V>): Promise<V> {
    const controller = new AbortController();
    const abort = this.own({ close: (reason?: unknown) => controller.abort(reason) });
    try {
      return await work(controller.signal);
    } finally {
      this.disown(abort);
    }
  }

  /** A scope that is closed with this one, or earlier. */
  child(): Scope {
    const child = new Scope(this.clock, this);
    this.own(child);
    return child;
  }

  /** Closes `thing` when the scope closes. Returns it for chaining. */
  own<T extends Closeable>(thing: T): T {
    if (this.#owned === undefined) thing.close(this.#reason);
    else this.#owned.add(thing);
    return thing;
  }

  /** Gives up ownership without closing. */
  disown(thing: Closeable): void {
    this.#owned?.delete(thing);
  }

  /** Calls `f` once after `delayMs`, unless the scope is closed before. */
  timeout(delayMs: number, f: () => void): Timer {
    if (this.closed) return { stop() {} };
    return this.own(new OwnedTimer(this, delayMs, f));
  }

  /** Resolves after `delayMs` with true, or with false as soon as the scope is closed. */
  sleep(delayMs: number): Promise<boolean> {
    if (this.closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter: Closeable = {
        close: () => {
          timer.stop();
          resolve(false);
        },
      };
      const timer = this.clock.startTimer(delayMs, () => {
        this.disown(waiter);
        resolve(true);
      });
      this.own(waiter);
    });
  }

  /** Idempotent. What an owned thing throws is collected, so that the others are closed too, and thrown at the end. */
  close(reason?: unknown): void {
    const owned = this.#owned;
    if (owned === undefined) return;
    this.#owned = undefined;
    this.#reason = reason ?? new Error('scope closed');
    this.#parent?.disown(this);
    this.#controller?.abort(this.#reason);
    const failures: unknown[] = [];
    for (const thing of [...owned].reverse()) {
      try {
        thing.close(this.#reason);
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'closing a scope failed');
  }
}

export interface Closeable {
  close(reason?: unknown): void;
}

/** A timer that ends with its scope. */
class OwnedTimer implements Closeable, Timer {
  readonly #scope: Scope;
  readonly #timer: Timer;

  constructor(scope: Scope, delayMs: number, f: () => void) {
    this.#scope = scope;
    this.#timer = scope.clock.startTimer(delayMs, () => {
      scope.disown(this);
      f();
    });
  }

  stop(): void {
    this.#timer.stop();
    this.#scope.disown(this);
  }

  close(): void {
    this.#timer.stop();
  }
}
