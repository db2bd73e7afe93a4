import type { Scope } from '../../runtime/scope.ts';

/** What was accepted last has found its tunnel by then, be it with a sibling. */
const SETTLE_MS = 250;

/**
 * Where workers wait for each other while they leave: nobody lets agents go as long as a sibling still takes requests for them.
 */
export class Rendezvous {
  readonly #scope: Scope;
  readonly #present = new Set<number>();
  readonly #arrived = new Map<number, () => void>();

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** A worker is there, and waited for from now on. */
  join(worker: number): void {
    this.#present.add(worker);
  }

  /** The worker has ended: nobody waits for it. */
  leave(worker: number): void {
    this.#present.delete(worker);
    this.#arrived.delete(worker);
    this.#look();
  }

  /** The worker takes nothing more. Resolves when that is so of all. */
  arrive(worker: number): Promise<void> {
    return new Promise((resolve) => {
      this.#arrived.set(worker, resolve);
      this.#look();
    });
  }

  #look(): void {
    if (this.#arrived.size < this.#present.size) return;
    const resolves = [...this.#arrived.values()];
    this.#arrived.clear();
    this.#scope.timeout(SETTLE_MS, () => {
      for (const resolve of resolves) resolve();
    });
  }
}
