/** Which nodes have idle tunnels of which agents. A node is known by the URLs of its private API. */
export interface TunnelDirectory {
  /**
   * This node has idle tunnels of the agent from now on, until `withdraw`. Both return at once: telling the store, and telling
   * it again when it has forgotten, is the directory's business (docs/protocol/routing.md, the directory).
   */
  announce(agentId: bigint): void;
  withdraw(agentId: bigint): void;
  /** Withdraws everything and announces nothing any more: this node leaves. Resolves when the store knows, or cannot be told. */
  leave(): Promise<void>;
  /**
   * The private API URLs of the nodes that have announced the agent, this one's among them if it has. Rejects if the store is
   * in trouble.
   */
  nodesOf(agentId: bigint): Promise<readonly string[]>;
}
