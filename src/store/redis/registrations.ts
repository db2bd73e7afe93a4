import type { Timer } from '../../runtime/clock.ts';
import { getOrPut } from '../../runtime/get_or_put.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { AgentConnection, ConnectedAgent } from '../agent_directory.ts';
import { isSamePod, MAX_PODS_OF_AGENT } from '../same_pod.ts';
import { encodePod } from './connected_agent.ts';

/** A pod that has registered with this node. */
export interface Registration {
  agent: ConnectedAgent;
  /** Ends it, unless it is repeated. */
  lapse: Timer;
  /** When what Redis has expires, on the wall clock; 0: it has nothing, or nobody knows what. */
  expiresAtMs: number;
  /** What Redis has, a character a byte: a small buffer would keep the block of 64 KiB alive that it was cut from. */
  written: string | undefined;
}

/** The pods that have registered with this node, whether Redis is there or not. */
export class Registrations {
  readonly #scope: Scope;
  readonly #onLapsed: (connection: AgentConnection) => void;
  /** By agent, then by connection. */
  readonly #agents = new Map<bigint, Map<bigint, Registration>>();
  #size = 0;

  /** @param onLapsed called for a pod that has not said in time that it is still there */
  constructor(scope: Scope, onLapsed: (connection: AgentConnection) => void) {
    this.#scope = scope;
    this.#onLapsed = onLapsed;
  }

  get size(): number {
    return this.#size;
  }

  get({ agentId, connectionId }: AgentConnection): Registration | undefined {
    return this.#agents.get(agentId)?.get(connectionId);
  }

  has(agentId: bigint): boolean {
    return this.#agents.has(agentId);
  }

  all(): Registration[] {
    return [...this.#agents.values()].flatMap((connections) => [...connections.values()]);
  }

  /** @returns what the pod takes the place of */
  add(agent: ConnectedAgent, ttlMs: number): ConnectedAgent[] {
    const lapse = this.#scope.timeout(ttlMs, () => this.#onLapsed(agent));
    const older = [...(this.#agents.get(agent.agentId)?.values() ?? [])].map((registration) => registration.agent);
    const replaced = older.filter((other) => isReplacedBy(other, agent));
    const staying = older.filter((other) => !replaced.includes(other) && other.connectionId !== agent.connectionId);
    if (staying.length >= MAX_PODS_OF_AGENT) {
      replaced.push(staying.reduce((a, b) => (b.connectedAtMs < a.connectedAtMs ? b : a)));
    }
    for (const other of replaced) this.remove(other);
    const known = this.get(agent);
    if (known === undefined) {
      const connections = getOrPut(this.#agents, agent.agentId, () => new Map<bigint, Registration>());
      connections.set(agent.connectionId, { agent, lapse, expiresAtMs: 0, written: undefined });
      this.#size++;
    } else {
      known.lapse.stop();
      known.lapse = lapse;
      if (!saysTheSame(known.agent, agent)) known.expiresAtMs = 0;
      known.agent = agent;
    }
    return replaced;
  }

  /** @returns what was known of it, if it was */
  remove(connection: AgentConnection): Registration | undefined {
    const registration = this.get(connection);
    const connections = this.#agents.get(connection.agentId);
    if (registration === undefined || connections === undefined) return undefined;
    registration.lapse.stop();
    connections.delete(connection.connectionId);
    this.#size--;
    if (connections.size === 0) this.#agents.delete(connection.agentId);
    return registration;
  }
}

/** Whether the other entry has to go: the pod has started again, or the agent's configuration has moved to another project. */
export function isReplacedBy(other: ConnectedAgent, agent: ConnectedAgent): boolean {
  return other.projectId !== agent.projectId || (other.connectionId !== agent.connectionId && isSamePod(other, agent));
}

/** Apart from when it said so. */
function saysTheSame(a: ConnectedAgent, b: ConnectedAgent): boolean {
  const anyTime = { connectedAtMs: 0 };
  return encodePod({ ...a, ...anyTime }).equals(encodePod({ ...b, ...anyTime }));
}
