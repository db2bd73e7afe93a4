import type { Clock } from '../../runtime/clock.ts';
import { ExpiringMap } from '../../runtime/expiring_map.ts';
import { getOrPut } from '../../runtime/get_or_put.ts';
import type { AgentConnection, AgentDirectory, ConnectedAgent } from '../agent_directory.ts';
import { isSamePod, MAX_PODS_OF_AGENT } from '../same_pod.ts';

/** How often, in registrations, the expired ones are looked for. */
const SWEEP_EVERY = 1000;

/** For how long, and of how many agents, it is remembered when they were last heard of. */
const REMEMBERED_MS = 24 * 3_600_000;
const REMEMBERED_AGENTS = 100_000;

interface Entry {
  readonly agent: ConnectedAgent;
  readonly expiresAtMs: number;
}

/** The agents that have registered with this process. */
export class MemoryAgentDirectory implements AgentDirectory {
  readonly #clock: Clock;
  /** By agent, then by connection. */
  readonly #agents = new Map<bigint, Map<bigint, Entry>>();
  /** The agents of each configuration project that has any. */
  readonly #projects = new Map<bigint, Set<bigint>>();
  /** Of agents that have gone. */
  readonly #lastSeenMs: ExpiringMap<number>;
  #sinceSweep = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastSeenMs = new ExpiringMap(clock, REMEMBERED_AGENTS);
  }

  register(agent: ConnectedAgent, ttlMs: number): Promise<void> {
    const { agentId, projectId, connectionId } = agent;
    const connections = getOrPut(this.#agents, agentId, () => new Map<bigint, Entry>());
    for (const [id, older] of connections) {
      const elsewhere = older.agent.projectId !== projectId;
      if (elsewhere || (id !== connectionId && isSamePod(older.agent, agent))) this.unregister(older.agent);
    }
    connections.delete(connectionId); // to the end: the first one is who has not been heard of for longest
    const [oldest] = connections.values();
    if (connections.size >= MAX_PODS_OF_AGENT && oldest !== undefined) this.unregister(oldest.agent);
    getOrPut(this.#agents, agentId, () => connections).set(connectionId, {
      agent,
      expiresAtMs: this.#clock.monotonicMs() + ttlMs,
    });
    getOrPut(this.#projects, projectId, () => new Set()).add(agentId);
    if (++this.#sinceSweep >= SWEEP_EVERY) this.#sweep();
    return Promise.resolve();
  }

  unregister({ agentId, connectionId }: AgentConnection): Promise<void> {
    const connections = this.#agents.get(agentId);
    const entry = connections?.get(connectionId);
    if (connections === undefined || entry === undefined) return Promise.resolve();
    connections.delete(connectionId);
    if (connections.size === 0) {
      this.#agents.delete(agentId);
      this.#lastSeenMs.set(String(agentId), entry.agent.connectedAtMs, REMEMBERED_MS);
      const agents = this.#projects.get(entry.agent.projectId);
      if (agents?.delete(agentId) && agents.size === 0) this.#projects.delete(entry.agent.projectId);
    }
    return Promise.resolve();
  }

  byAgentIds(agentIds: readonly bigint[]): Promise<ConnectedAgent[]> {
    return Promise.resolve(this.#pods(new Set(agentIds)));
  }

  byProjectIds(projectIds: readonly bigint[]): Promise<ConnectedAgent[]> {
    const agentIds = [...new Set(projectIds)].flatMap((id) => [...(this.#projects.get(id) ?? [])]);
    return Promise.resolve(this.#pods(agentIds));
  }

  countByVersion(): Promise<ReadonlyMap<string, number>> {
    this.#sweep();
    const counts = new Map<string, number>();
    for (const connections of this.#agents.values()) {
      const versions = new Set([...connections.values()].map(({ agent }) => agent.agentMeta?.version ?? ''));
      for (const version of versions) counts.set(version, (counts.get(version) ?? 0) + 1);
    }
    return Promise.resolve(counts);
  }

  count(): Promise<number> {
    this.#sweep();
    return Promise.resolve(this.#agents.size);
  }

  lastSeenMs(agentId: bigint): Promise<number | undefined> {
    const pods = [...(this.#agents.get(agentId)?.values() ?? [])];
    if (pods.length === 0) return Promise.resolve(this.#lastSeenMs.get(String(agentId)));
    return Promise.resolve(Math.max(...pods.map(({ agent }) => agent.connectedAtMs)));
  }

  #pods(agentIds: Iterable<bigint>): ConnectedAgent[] {
    const nowMs = this.#clock.monotonicMs();
    const pods: ConnectedAgent[] = [];
    for (const agentId of agentIds) {
      for (const { agent, expiresAtMs } of this.#agents.get(agentId)?.values() ?? []) {
        if (expiresAtMs > nowMs) pods.push(agent);
      }
    }
    return pods;
  }

  #sweep(): void {
    this.#sinceSweep = 0;
    const nowMs = this.#clock.monotonicMs();
    for (const connections of this.#agents.values()) {
      for (const { agent, expiresAtMs } of connections.values()) if (expiresAtMs <= nowMs) this.unregister(agent);
    }
  }
}
