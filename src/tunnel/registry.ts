import type { Tunnel, TunnelKeeper } from './tunnel.ts';

/** Somebody waits for a tunnel. */
export interface Waiter {
  cancel(): void;
}

interface Waiting {
  readonly method: string;
  readonly found: (tunnel: Tunnel) => void;
}

/** What this node has of one agent. Kept only while there is something in it. */
interface AgentTunnels {
  /** In the order they came: the oldest is taken first, so that requests spread over an agent's pods. */
  readonly idle: Set<Tunnel>;
  readonly waiting: Set<Waiting>;
}

/** The idle tunnels of this node, and who waits for one. */
export class TunnelRegistry implements TunnelKeeper {
  readonly #agents = new Map<bigint, AgentTunnels>();

  /** A new tunnel goes to whoever waits for it, else it becomes idle. */
  add(tunnel: Tunnel): void {
    const agent = this.#agent(tunnel.agentId);
    for (const waiting of agent.waiting) {
      if (!tunnel.methods.has(waiting.method)) continue;
      agent.waiting.delete(waiting);
      this.#forgetIfEmpty(tunnel.agentId, agent);
      waiting.found(tunnel);
      return;
    }
    agent.idle.add(tunnel);
  }

  /** Takes an idle tunnel of the agent that serves `method` (`/service/method`). */
  take(agentId: bigint, method: string): Tunnel | undefined {
    const agent = this.#agents.get(agentId);
    if (agent === undefined) return undefined;
    for (const tunnel of agent.idle) {
      if (!tunnel.methods.has(method)) continue;
      agent.idle.delete(tunnel);
      this.#forgetIfEmpty(agentId, agent);
      return tunnel;
    }
    return undefined;
  }

  /** Calls `found` with the next tunnel that fits; first come, first served. */
  wait(agentId: bigint, method: string, found: (tunnel: Tunnel) => void): Waiter {
    const agent = this.#agent(agentId);
    const waiting = { method, found };
    agent.waiting.add(waiting);
    return {
      cancel: () => {
        agent.waiting.delete(waiting);
        this.#forgetIfEmpty(agentId, agent);
      },
    };
  }

  lost(tunnel: Tunnel): void {
    const agent = this.#agents.get(tunnel.agentId);
    if (agent?.idle.delete(tunnel)) this.#forgetIfEmpty(tunnel.agentId, agent);
  }

  #agent(agentId: bigint): AgentTunnels {
    let agent = this.#agents.get(agentId);
    if (agent === undefined) {
      agent = { idle: new Set(), waiting: new Set() };
      this.#agents.set(agentId, agent);
    }
    return agent;
  }

  #forgetIfEmpty(agentId: bigint, agent: AgentTunnels): void {
    if (agent.idle.size === 0 && agent.waiting.size === 0 && this.#agents.get(agentId) === agent)
      this.#agents.delete(agentId);
  }
}
