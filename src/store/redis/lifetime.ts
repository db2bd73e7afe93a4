export interface LifetimeConfig {
  /** How long an entry lives that is not renewed. */
  readonly ttlMs: number;
  /** Entries are renewed when they are as old as this. */
  readonly refreshMs: number;
}

/** A node with more entries than this renews them less often. */
const MANY = 1000;
const LONGER = 3;

/**
 * When entries expire and are renewed. Renewing costs two commands for each key, so that a node with thousands of agents
 * would keep Redis busy with nothing else: there entries that have lived long enough to be renewed are given three times as
 * long. The price is that what a killed node leaves behind stays as much longer (docs/protocol/redis.md, lifetimes).
 */
export class Lifetime {
  readonly #config: LifetimeConfig;

  constructor(config: LifetimeConfig) {
    this.#config = config;
  }

  /** Of an entry that is written for the first time, or again after Redis was away. */
  get firstMs(): number {
    return this.#config.ttlMs;
  }

  /** @param entries how many this node keeps renewing */
  renewedMs(entries: number): number {
    return this.#config.ttlMs * (entries > MANY ? LONGER : 1);
  }

  /** Entries that have no longer to live than this are renewed. */
  get marginMs(): number {
    return this.#config.ttlMs - this.#config.refreshMs;
  }

  /** How often to look which ones these are: often enough that none expires in between. */
  get lookEveryMs(): number {
    return Math.min(10_000, this.marginMs / 4);
  }
}
