import type { AgentMeta } from '../gen/gitlab/agent/entity/entity_pb.ts';

/** What names a connected agent pod. */
export interface AgentConnection {
  readonly agentId: bigint;
  readonly projectId: bigint;
  /** The pod's own random number: the same for each of its connections. */
  readonly connectionId: bigint;
}

/** An agent pod that is connected to some node. */
export interface ConnectedAgent extends AgentConnection {
  /** What the pod says of itself; undefined if it says nothing. */
  readonly agentMeta: AgentMeta | undefined;
  /** When it was last heard of: milliseconds since the epoch. */
  readonly connectedAtMs: number;
}

/** Which agents are connected, by the word of the agents themselves. Methods reject if the store is in trouble. */
export interface AgentDirectory {
  /**
   * Adds the agent, or says that it is still there; to be repeated before `ttlMs` is over. A pod that has started again, and
   * so has the name of an older connection of the same agent, takes that one's place.
   */
  register(agent: ConnectedAgent, ttlMs: number): Promise<void>;
  /** Removes the agent at once; one that is not there is no error. */
  unregister(agent: AgentConnection): Promise<void>;
  /** The connected pods of these agents, in no order that means anything. */
  byAgentIds(agentIds: readonly bigint[]): Promise<ConnectedAgent[]>;
  /** The same for the agents whose configuration is in these projects. */
  byProjectIds(projectIds: readonly bigint[]): Promise<ConnectedAgent[]>;
  /** How many agents have pods of a version; an agent that is being updated counts for each. */
  countByVersion(): Promise<ReadonlyMap<string, number>>;
  /** How many agents, not pods, are connected. */
  count(): Promise<number>;
  /**
   * When the agent was last heard of, connected or not: milliseconds since the epoch. Undefined if the store does not remember,
   * which it does for a while at least as long as agents need to come back.
   */
  lastSeenMs(agentId: bigint): Promise<number | undefined>;
}
