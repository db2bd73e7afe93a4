import type { Scope } from '../runtime/scope.ts';

/** Looked at once in every round. */
export interface Checked {
  check(nowMs: number): void;
}

/** A round is walked in so many steps, so that ten thousand connections are not looked at in one go. */
const STEPS = 20;

/**
 * Looks at many things at the same interval with one timer. A timer for each of ten thousand idle connections would cost several
 * per cent of a core.
 */
export class Rounds {
  readonly #scope: Scope;
  readonly #stepMs: number;
  readonly #slots = Array.from({ length: STEPS }, () => new Set<Checked>());
  #step = 0;
  #size = 0;
  #running = false;

  constructor(scope: Scope, roundMs: number) {
    this.#scope = scope;
    this.#stepMs = roundMs / STEPS;
  }

  /** `thing` is looked at a round from now, or up to a step sooner, and so on. Returns what ends that. */
  add(thing: Checked): () => void {
    const slot = this.#slots[this.#step]!; // the one whose turn was last
    slot.add(thing);
    this.#size++;
    this.#start();
    return () => {
      if (slot.delete(thing)) this.#size--;
    };
  }

  #start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#scope.timeout(this.#stepMs, () => {
      this.#running = false;
      this.#step = (this.#step + 1) % STEPS;
      const nowMs = this.#scope.clock.monotonicMs();
      for (const thing of this.#slots[this.#step]!) thing.check(nowMs);
      if (this.#size > 0) this.#start();
    });
  }
}
