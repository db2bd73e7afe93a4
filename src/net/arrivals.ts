/** New connections that are taken up in a turn of the event loop. An agent's is about a millisecond of work, with all that it brings. */
const IN_A_TURN = 16;

/**
 * Spreads the work for connections that come all at once, as they do when another node has left: whoever is here already, a
 * balancer's question whether this node is ready among them, waits for some of them and not for all.
 */
export class Arrivals {
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #armed = false;

  /** Calls `takeUp` now, or in a later turn, in the order of arrival. */
  add(takeUp: () => void): void {
    if (this.#taken >= IN_A_TURN) {
      this.#waiting.push(takeUp);
      return;
    }
    this.#taken++;
    this.#arm();
    takeUp();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#armed = false;
    const next = this.#waiting.splice(0, IN_A_TURN);
    this.#taken = next.length;
    if (next.length > 0) this.#arm();
    for (const takeUp of next) takeUp();
  }
}
