/** Names of keys: text, then ids as 8 bytes and hashes as 32, unencoded (docs/protocol/redis.md, keys). */
export class Keys {
  readonly #prefix: string;
  readonly connectedAgents: Buffer;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.connectedAgents = Buffer.from(`${prefix}:agent_tracker2:connected_agents`);
  }

  tunnelNodes(agentId: bigint): Buffer {
    return withId(`${this.#prefix}:tunnel_tracker2:kas_by_agent_id:`, agentId);
  }

  podsOfAgent(agentId: bigint): Buffer {
    return withId(`${this.#prefix}:agent_tracker2:conn_by_agent_id:`, agentId);
  }

  podsOfProject(projectId: bigint): Buffer {
    return withId(`${this.#prefix}:agent_tracker2:conn_by_project_id:`, projectId);
  }

  /** @param minute of the hour, UTC */
  tokenCount(tokenHash: Buffer, minute: number): Buffer {
    return Buffer.concat([Buffer.from(`${this.#prefix}:agent_limit:`), tokenHash, Buffer.of(0x3a, minute)]);
  }

  refusal(kind: string, hash: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.#prefix}:${kind}:`), hash]);
  }

  /** Answers that were shared in the `period`th five minutes since the epoch. */
  answers(kind: string, period: number): Buffer {
    return Buffer.from(`${this.#prefix}:${kind}:${period}`);
  }
}

function withId(name: string, id: bigint): Buffer {
  const length = Buffer.byteLength(name);
  const key = Buffer.allocUnsafe(length + 8);
  key.write(name);
  key.writeBigInt64LE(id, length);
  return key;
}
