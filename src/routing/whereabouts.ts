import type { Clock } from '../runtime/clock.ts';
import type { AgentDirectory } from '../store/agent_directory.ts';
import type { TunnelDirectory } from '../store/tunnel_directory.ts';

/** An agent that has lost its connection is back within this time, whatever it waits between its attempts. */
const RECONNECT_MS = 60_000;

export interface WhereaboutsDeps {
  readonly agents: Pick<AgentDirectory, 'byAgentIds' | 'lastSeenMs'>;
  readonly tunnels: Pick<TunnelDirectory, 'nodesOf'>;
  /** When the agent was last seen by this node itself: milliseconds since the epoch. */
  readonly lastSeenHereMs: (agentId: bigint) => number | undefined;
  readonly clock: Clock;
}

/** Says of agents whether there is any hope for them. */
export class Whereabouts {
  readonly #deps: WhereaboutsDeps;
  readonly #startedMs: number;
  /** Calls for one agent that come together ask once. */
  readonly #asking = new Map<bigint, Promise<string | undefined>>();

  constructor(deps: WhereaboutsDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.monotonicMs();
  }

  /**
   * A sentence for the caller if the agent is known to be connected nowhere, and to have been away for longer than agents need
   * to come back. Undefined if it may be worth while to wait, or if nobody knows.
   */
  away(agentId: bigint): Promise<string | undefined> {
    // All agents of a node that has just started may be on their way to it.
    if (this.#deps.clock.monotonicMs() - this.#startedMs < RECONNECT_MS) return Promise.resolve(undefined);
    let asking = this.#asking.get(agentId);
    if (asking === undefined) {
      asking = this.#ask(agentId)
        .catch(() => undefined)
        .finally(() => this.#asking.delete(agentId));
      this.#asking.set(agentId, asking);
    }
    return asking;
  }

  async #ask(agentId: bigint): Promise<string | undefined> {
    const { agents, tunnels, lastSeenHereMs, clock } = this.#deps;
    const seenHereMs = lastSeenHereMs(agentId) ?? 0;
    if (clock.wallMs() - seenHereMs < RECONNECT_MS) return undefined;
    const [nodes, pods, seenMs] = await Promise.all([
      tunnels.nodesOf(agentId),
      agents.byAgentIds([agentId]),
      agents.lastSeenMs(agentId),
    ]);
    if (nodes.length > 0 || pods.length > 0) return undefined;
    const lastMs = Math.max(seenHereMs, seenMs ?? 0);
    if (lastMs === 0) return 'It has not been seen lately.';
    if (clock.wallMs() - lastMs < RECONNECT_MS) return undefined;
    return `It was last seen at ${new Date(lastMs).toISOString()}.`;
  }
}
