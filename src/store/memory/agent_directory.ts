import type { Clock } from '../../runtime/clock.ts';
import type { AgentDirectory, ConnectedAgent } from '../agent_directory.ts';

/** How often, in registrations, the expired ones are looked for. */
const SWEEP_EVERY = 1000;

/** The agents that have registered with this process. */
export class MemoryAgentDirectory implements AgentDirectory {
  readonly #clock: Clock;
  /** By agent: when each of its connections expires. */
  readonly #agents = new Map<bigint, Map<bigint, number>>();
  #sinceSweep = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  register({ agentId, connectionId }: ConnectedAgent, ttlMs: number): Promise<void> {
    let connections = this.#agents.get(agentId);
    if (connections === undefined) {
      connections = new Map();
      this.#agents.set(agentId, connections);
    }
    connections.set(connectionId, this.#clock.monotonicMs() + ttlMs);
    if (++this.#sinceSweep >= SWEEP_EVERY) this.#sweep();
    return Promise.resolve();
  }

  unregister({ agentId, connectionId }: ConnectedAgent): Promise<void> {
    const connections = this.#agents.get(agentId);
    if (connections?.delete(connectionId) && connections.size === 0) this.#agents.delete(agentId);
    return Promise.resolve();
  }

  count(): Promise<number> {
    this.#sweep();
    return Promise.resolve(this.#agents.size);
  }

  #sweep(): void {
    this.#sinceSweep = 0;
    const nowMs = this.#clock.monotonicMs();
    for (const [agentId, connections] of this.#agents) {
      for (const [connectionId, expiresAtMs] of connections) if (expiresAtMs <= nowMs) connections.delete(connectionId);
      if (connections.size === 0) this.#agents.delete(agentId);
    }
  }
}
