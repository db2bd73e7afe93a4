/** What must be so before traffic is sent here: names with what is still missing. */
export class Readiness {
  readonly #missing = new Map<string, string>();

  /** @param reason shown to whoever asks; undefined: nothing is missing (any more) */
  set(name: string, reason: string | undefined): void {
    if (reason === undefined) this.#missing.delete(name);
    else this.#missing.set(name, reason);
  }

  /** One line for each thing that is missing; empty when ready. */
  get missing(): readonly string[] {
    return [...this.#missing].map(([name, reason]) => `${name}: ${reason}`);
  }
}
