import type { LimitHit } from '../observability/limits.ts';

export interface WaitingRoomOptions {
  readonly perAgent: number;
  readonly inAll: number;
  /** Somebody was turned away because of the agent's limit, or of that of all. */
  readonly agentFull: LimitHit;
  readonly full: LimitHit;
}

/**
 * Counts the requests that wait for a tunnel. Whoever waits holds a connection and whatever of the request has been sent, for
 * up to 20 s: an agent that is away, or too slow, must not fill the memory with them, nor take the room of other agents'.
 */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions;
  readonly #agents = new Map<bigint, number>();
  #waiting = 0;

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** False: there is no room, the request is to be refused at once. True: `leave` has to follow, once. */
  enter(agentId: bigint): boolean {
    const { perAgent, inAll, agentFull, full } = this.#options;
    if (this.#waiting >= inAll) {
      full();
      return false;
    }
    const before = this.#agents.get(agentId) ?? 0;
    if (before >= perAgent) {
      agentFull();
      return false;
    }
    this.#agents.set(agentId, before + 1);
    this.#waiting++;
    return true;
  }

  leave(agentId: bigint): void {
    const before = this.#agents.get(agentId);
    if (before === undefined) return;
    if (before === 1) this.#agents.delete(agentId);
    else this.#agents.set(agentId, before - 1);
    this.#waiting--;
  }
}
