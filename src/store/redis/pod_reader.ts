import type { Clock } from '../../runtime/clock.ts';
import type { ConnectedAgent } from '../agent_directory.ts';
import { decodePod } from './connected_agent.ts';
import type { RedisConnection } from './connection.ts';
import { removeExpired, type ScanResult, scanHash } from './hash_scan.ts';
import type { Trouble } from './trouble.ts';

/** Hashes that are read at a time: short enough for Redis to do something else in between. */
const HASHES_AT_A_TIME = 200;

/** Reads the hashes of connected agents. What has expired in them is removed on the way. */
export class PodReader {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #trouble: Trouble;

  constructor(deps: { readonly redis: RedisConnection; readonly clock: Clock; readonly trouble: Trouble }) {
    this.#redis = deps.redis;
    this.#clock = deps.clock;
    this.#trouble = deps.trouble;
  }

  async podsIn(keys: readonly Buffer[]): Promise<ConnectedAgent[]> {
    const pods: ConnectedAgent[] = [];
    for (let i = 0; i < keys.length; i += HASHES_AT_A_TIME) {
      const batch = keys.slice(i, i + HASHES_AT_A_TIME);
      for (const found of await Promise.all(batch.map((key) => this.#podsIn(key)))) pods.push(...found);
    }
    return pods;
  }

  async #podsIn(key: Buffer): Promise<ConnectedAgent[]> {
    const found = await this.scan(key);
    removeExpired(this.#redis, key, found);
    return found.live.flatMap(({ value }) => {
      const pod = decodePod(value);
      if (pod === undefined) this.#trouble.garbage('Redis proto.Unmarshal(ConnectedAgentInfo)', key);
      return pod ?? [];
    });
  }

  scan(key: Buffer): Promise<ScanResult> {
    return scanHash(this.#redis, key, Math.floor(this.#clock.wallMs() / 1000), this.#trouble);
  }
}
