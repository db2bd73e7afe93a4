import type { Link } from '../../runtime/link.ts';
import type { TunnelDirectory } from '../tunnel_directory.ts';

/** Which agents a worker has idle tunnels of, as a new sibling is told. */
export type BoardEntry = readonly [url: string, agentIds: readonly bigint[]];

/**
 * The primary process's part in how workers find each other: it passes on what each of them says of its tunnels. What other
 * machines see is the machine as a whole: an agent is announced while any worker has tunnels of it.
 */
export class TunnelBoard {
  readonly #workers = new Map<string, { readonly link: Link; readonly agentIds: Set<bigint> }>();
  /** How many workers have announced an agent. */
  readonly #counts = new Map<bigint, number>();
  readonly #machine: Pick<TunnelDirectory, 'announce' | 'withdraw'> | undefined;

  /** @param machine the directory that other machines read; undefined: there are none */
  constructor(machine?: Pick<TunnelDirectory, 'announce' | 'withdraw'>) {
    this.#machine = machine;
  }

  /** How many agents have been announced, each counted once. */
  get agents(): number {
    return this.#counts.size;
  }

  /** A worker whose own private API is at `url`: from now on it is told of the others, and they of it. */
  join(url: string, link: Link): void {
    const agentIds = new Set<bigint>();
    const snapshot: BoardEntry[] = [...this.#workers].map(([other, worker]) => [other, [...worker.agentIds]]);
    link.tell('tunnels.snapshot', snapshot);
    this.#workers.set(url, { link, agentIds });
    link.on<[bigint]>('tunnels.announce', ([agentId]) => {
      if (!this.#workers.has(url) || agentIds.has(agentId)) return;
      agentIds.add(agentId);
      this.#tellOthers(url, 'tunnels.announced', agentId);
      const count = this.#counts.get(agentId) ?? 0;
      this.#counts.set(agentId, count + 1);
      if (count === 0) this.#machine?.announce(agentId);
    });
    link.on<[bigint]>('tunnels.withdraw', ([agentId]) => {
      if (!agentIds.delete(agentId)) return;
      this.#tellOthers(url, 'tunnels.withdrawn', agentId);
      this.#uncount(agentId);
    });
    link.on('tunnels.leave', () => this.leave(url));
  }

  /** The worker has gone, or is about to: nobody is to look for tunnels there any more. Idempotent. */
  leave(url: string): void {
    const worker = this.#workers.get(url);
    if (worker === undefined) return;
    this.#workers.delete(url);
    this.#tellOthers(url, 'tunnels.left');
    for (const agentId of worker.agentIds) this.#uncount(agentId);
    worker.agentIds.clear();
  }

  #uncount(agentId: bigint): void {
    const count = (this.#counts.get(agentId) ?? 0) - 1;
    if (count > 0) {
      this.#counts.set(agentId, count);
      return;
    }
    this.#counts.delete(agentId);
    this.#machine?.withdraw(agentId);
  }

  #tellOthers(url: string, name: string, ...args: readonly unknown[]): void {
    for (const [other, { link }] of this.#workers) if (other !== url) link.tell(name, url, ...args);
  }
}
