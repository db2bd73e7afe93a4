/** An agent pod that is connected to some node. */
export interface ConnectedAgent {
  readonly agentId: bigint;
  readonly projectId: bigint;
  /** The pod's own random number: the same for each of its connections. */
  readonly connectionId: bigint;
}

/** Which agents are connected, by the word of the agents themselves. Methods reject if the store is in trouble. */
export interface AgentDirectory {
  /** Adds the agent, or says that it is still there; to be repeated before `ttlMs` is over. */
  register(agent: ConnectedAgent, ttlMs: number): Promise<void>;
  /** Removes the agent; one that is not there is no error. */
  unregister(agent: ConnectedAgent): Promise<void>;
  /** How many agents, not pods, are connected. */
  count(): Promise<number>;
}
