import type { TunnelDirectory } from '../tunnel_directory.ts';

/** The directory of a node that has no others: whatever it announces, it is the only one to ask. */
export class MemoryTunnelDirectory implements TunnelDirectory {
  readonly #ownUrls: readonly string[];
  readonly #announced = new Set<bigint>();
  #left = false;

  constructor(ownUrls: readonly string[]) {
    this.#ownUrls = ownUrls;
  }

  announce(agentId: bigint): void {
    if (!this.#left) this.#announced.add(agentId);
  }

  withdraw(agentId: bigint): void {
    this.#announced.delete(agentId);
  }

  leave(): Promise<void> {
    this.#left = true;
    this.#announced.clear();
    return Promise.resolve();
  }

  nodesOf(agentId: bigint): Promise<readonly string[]> {
    return Promise.resolve(this.#announced.has(agentId) ? this.#ownUrls : []);
  }
}
