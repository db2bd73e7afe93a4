import type { Timer } from '../runtime/clock.ts';
import { ExpiringMap } from '../runtime/expiring_map.ts';
import type { Scope } from '../runtime/scope.ts';
import type { TunnelDirectory } from '../store/tunnel_directory.ts';

/**
 * An agent whose tunnels are all in use opens new ones within moments: only then has it really gone (docs/protocol/routing.md).
 */
const WITHDRAW_AFTER_MS = 5000;
const SWEEP_MS = 1000;
/** For how long, and of how many agents, it is remembered when they left. */
const REMEMBERED_MS = 60 * 60_000;
const REMEMBERED_AGENTS = 100_000;

/** Tells other nodes which agents have idle tunnels here, and remembers when they no longer had. */
export class TunnelPresence {
  readonly #directory: TunnelDirectory;
  readonly #scope: Scope;
  readonly #announced = new Set<bigint>();
  /** Announced agents without an idle tunnel, in the order in which they lost the last one. */
  readonly #emptySinceMs = new Map<bigint, number>();
  readonly #leftAtMs: ExpiringMap<number>;
  #sweep: Timer | undefined;

  constructor(directory: TunnelDirectory, scope: Scope) {
    this.#directory = directory;
    this.#scope = scope;
    this.#leftAtMs = new ExpiringMap(scope.clock, REMEMBERED_AGENTS);
  }

  /** The agent's first idle tunnel has come. */
  appeared(agentId: bigint): void {
    if (this.#announced.has(agentId)) {
      this.#emptySinceMs.delete(agentId);
      return;
    }
    this.#announced.add(agentId);
    this.#directory.announce(agentId);
  }

  /** The agent's last idle tunnel has gone, or is in use. */
  emptied(agentId: bigint): void {
    this.#emptySinceMs.set(agentId, this.#scope.clock.monotonicMs());
    this.#sweep ??= this.#scope.timeout(SWEEP_MS, () => this.#withdraw());
  }

  /** When the agent was last seen here: milliseconds since the epoch; now, if it still counts as connected. */
  lastSeenMs(agentId: bigint): number | undefined {
    return this.#announced.has(agentId) ? this.#scope.clock.wallMs() : this.#leftAtMs.get(String(agentId));
  }

  /** The agents that are announced. */
  get agents(): number {
    return this.#announced.size;
  }

  #withdraw(): void {
    this.#sweep = undefined;
    const { clock } = this.#scope;
    const lastMs = clock.monotonicMs() - WITHDRAW_AFTER_MS;
    for (const [agentId, sinceMs] of this.#emptySinceMs) {
      if (sinceMs > lastMs) break;
      this.#emptySinceMs.delete(agentId);
      this.#announced.delete(agentId);
      this.#directory.withdraw(agentId);
      this.#leftAtMs.set(String(agentId), clock.wallMs() - WITHDRAW_AFTER_MS, REMEMBERED_MS);
    }
    if (this.#emptySinceMs.size > 0) this.#sweep = this.#scope.timeout(SWEEP_MS, () => this.#withdraw());
  }
}
