/** End of stream, where a field number is expected. */
export const END_OF_STREAM = -1;
/** The state before the first message. */
export const START = -2;

/**
 * Which message may follow which on a stream whose messages are all one oneof; states are field numbers
 * (docs/protocol/tunnel.md, order of messages).
 */
export class Automaton {
  readonly #allowed: ReadonlyMap<number, readonly number[]>;

  /** @param transitions for each state the states that may follow, ascending, as error texts show them */
  constructor(transitions: Readonly<Record<number, readonly number[]>>) {
    this.#allowed = new Map(Object.entries(transitions).map(([state, next]) => [Number(state), next]));
  }

  /** Undefined if `next` may follow `current`; otherwise the text for the peer. */
  refuse(current: number, next: number): string | undefined {
    const allowed = this.#allowed.get(current) ?? [];
    if (allowed.includes(next)) return undefined;
    return `transition from ${current} to ${next} is not allowed. Allowed: [${allowed.join(' ')}]`;
  }
}
