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
  /** How many carry a call. */
  busy: number;
}

/** Who wants to know which agents have idle tunnels here. */
export interface Presence {
  /** The agent's first idle tunnel has come. */
  appeared(agentId: bigint): void;
  /** The agent's last idle tunnel has gone, or is in use. */
  emptied(agentId: bigint): void;
}

/** The idle tunnels of this node, and who waits for one. */
export class TunnelRegistry implements TunnelKeeper {
  readonly #presence: Presence;
  readonly #agents = new Map<bigint, AgentTunnels>();

  constructor(presence: Presence) {
    this.#presence = presence;
  }

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
    if (agent.idle.size === 1) this.#presence.appeared(tunnel.agentId);
  }

  /** Takes an idle tunnel of the agent that serves `method` (`/service/method`). */
  take(agentId: bigint, method: string): Tunnel | undefined {
    const agent = this.#agents.get(agentId);
    if (agent === undefined) return undefined;
    for (const tunnel of agent.idle) {
      if (!tunnel.methods.has(method)) continue;
      this.#remove(tunnel, agent);
      return tunnel;
    }
    return undefined;
  }

  /** Whether tunnels of the agent are in use here: then more are coming. */
  isBusy(agentId: bigint): boolean {
    return (this.#agents.get(agentId)?.busy ?? 0) > 0;
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

  busy(tunnel: Tunnel): void {
    this.#agent(tunnel.agentId).busy++;
  }

  done(tunnel: Tunnel): void {
    const agent = this.#agent(tunnel.agentId);
    agent.busy--;
    this.#forgetIfEmpty(tunnel.agentId, agent);
  }

  /** How many tunnels there are, and of how many agents. */
  count(): { readonly idle: number; readonly busy: number; readonly agents: number } {
    let idle = 0;
    let busy = 0;
    let agents = 0;
    for (const agent of this.#agents.values()) {
      idle += agent.idle.size;
      busy += agent.busy;
      if (agent.idle.size > 0 || agent.busy > 0) agents++;
    }
    return { idle, busy, agents };
  }

  lost(tunnel: Tunnel): void {
    const agent = this.#agents.get(tunnel.agentId);
    if (agent?.idle.has(tunnel)) this.#remove(tunnel, agent);
  }

  #remove(tunnel: Tunnel, agent: AgentTunnels): void {
    agent.idle.delete(tunnel);
    if (agent.idle.size === 0) this.#presence.emptied(tunnel.agentId);
    this.#forgetIfEmpty(tunnel.agentId, agent);
  }

  #agent(agentId: bigint): AgentTunnels {
    let agent = this.#agents.get(agentId);
    if (agent === undefined) {
      agent = { idle: new Set(), waiting: new Set(), busy: 0 };
      this.#agents.set(agentId, agent);
    }
    return agent;
  }

  #forgetIfEmpty(agentId: bigint, agent: AgentTunnels): void {
    if (agent.idle.size > 0 || agent.waiting.size > 0 || agent.busy > 0) return;
    if (this.#agents.get(agentId) === agent) this.#agents.delete(agentId);
  }
}
