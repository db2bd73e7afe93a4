import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Timer } from '../runtime/clock.ts';
import { ExpiringMap } from '../runtime/expiring_map.ts';
import type { Scope } from '../runtime/scope.ts';
import type { TunnelDirectory } from '../store/tunnel_directory.ts';

/** A node that had tunnels of an agent is asked first for so long. */
const REMEMBERED_MS = 5 * 60_000;
const REMEMBERED_AGENTS = 100_000;
/** The directory is read so often while calls wait for an agent (docs/protocol/routing.md). */
const POLL_MS = 50;
/** Whoever has waited for so long can wait a little longer, and a store with many such agents is spared. */
const EAGER_POLLS = 40;
const PATIENT_POLL_MS = 250;

/** Who waits for an agent. */
export type NodesListener = (urls: readonly string[]) => void;

interface Reading {
  readonly urls: readonly string[];
  readonly atMs: number;
}

interface Poll {
  readonly listeners: Set<NodesListener>;
  polls: number;
  timer: Timer | undefined;
}

/** Which nodes have tunnels of an agent, as far as this node has been told. */
export class KnownNodes {
  readonly #directory: Pick<TunnelDirectory, 'nodesOf'>;
  readonly #scope: Scope;
  readonly #log: Log;
  readonly #known: ExpiringMap<Reading>;
  /** One for each agent that calls wait for, however many. */
  readonly #polls = new Map<bigint, Poll>();

  constructor(directory: Pick<TunnelDirectory, 'nodesOf'>, { scope, log }: { scope: Scope; log: Log }) {
    this.#directory = directory;
    this.#scope = scope;
    this.#log = log;
    this.#known = new ExpiringMap(scope.clock, REMEMBERED_AGENTS);
  }

  /** The nodes that had tunnels of the agent when the directory was last read; nothing is read now. */
  remembered(agentId: bigint): readonly string[] {
    return this.#known.get(String(agentId))?.urls ?? [];
  }

  /** Reads the directory now and again until the returned function is called; `listener` hears what each reading finds. */
  poll(agentId: bigint, listener: NodesListener): () => void {
    let poll = this.#polls.get(agentId);
    if (poll === undefined) {
      poll = { listeners: new Set(), polls: 0, timer: undefined };
      this.#polls.set(agentId, poll);
      this.#startReading(agentId, poll);
    }
    const { listeners } = poll;
    listeners.add(listener);
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0) return;
      this.#polls.get(agentId)?.timer?.stop();
      this.#polls.delete(agentId);
    };
  }

  /** At once, unless it was read a moment ago: many calls may wait for moments, one after the other. */
  #startReading(agentId: bigint, poll: Poll): void {
    const readAtMs = this.#known.get(String(agentId))?.atMs ?? Number.NEGATIVE_INFINITY;
    const dueMs = readAtMs + POLL_MS - this.#scope.clock.monotonicMs();
    if (dueMs <= 0) void this.#read(agentId, poll);
    else poll.timer = this.#scope.timeout(dueMs, () => void this.#read(agentId, poll));
  }

  async #read(agentId: bigint, poll: Poll): Promise<void> {
    poll.polls++;
    let urls: readonly string[] | undefined;
    try {
      urls = await this.#directory.nodesOf(agentId);
    } catch (error) {
      if (poll.polls === 1)
        this.#log.error('KasUrlsByAgentId() failed', {
          agent_id: agentId,
          error: errorText(error),
          hint: Hint.store,
        });
    }
    if (urls !== undefined) {
      const reading = { urls, atMs: this.#scope.clock.monotonicMs() };
      if (urls.length > 0) this.#known.set(String(agentId), reading, REMEMBERED_MS);
      else this.#known.delete(String(agentId));
      for (const listener of [...poll.listeners]) listener(urls);
    }
    if (this.#polls.get(agentId) !== poll) return;
    const delayMs = poll.polls < EAGER_POLLS ? POLL_MS : PATIENT_POLL_MS;
    poll.timer = this.#scope.timeout(delayMs, () => void this.#read(agentId, poll));
  }
}
