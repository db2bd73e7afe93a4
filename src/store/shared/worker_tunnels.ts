import { getOrPut } from '../../runtime/get_or_put.ts';
import type { Link } from '../../runtime/link.ts';
import type { TunnelDirectory } from '../tunnel_directory.ts';
import type { BoardEntry } from './tunnel_board.ts';

/**
 * The tunnel directory of a worker: what its siblings have announced through the primary process's TunnelBoard, kept here, so
 * that nobody is asked; and what other machines have announced, if there are any.
 */
export class WorkerTunnels implements TunnelDirectory {
  readonly #link: Link;
  readonly #ownUrl: string;
  readonly #elsewhere: Pick<TunnelDirectory, 'nodesOf'> | undefined;
  readonly #announced = new Set<bigint>();
  #left = false;
  /** The siblings that have idle tunnels of an agent. */
  readonly #siblings = new Map<bigint, Set<string>>();

  constructor(options: {
    readonly link: Link;
    /** Where this worker's own private API is. */
    readonly ownUrl: string;
    /** Undefined: there are no other machines. */
    readonly elsewhere?: Pick<TunnelDirectory, 'nodesOf'> | undefined;
  }) {
    const { link } = options;
    this.#link = link;
    this.#ownUrl = options.ownUrl;
    this.#elsewhere = options.elsewhere;
    link.on<[readonly BoardEntry[]]>('tunnels.snapshot', ([entries]) => {
      for (const [url, agentIds] of entries) for (const agentId of agentIds) this.#add(url, agentId);
    });
    link.on<[string, bigint]>('tunnels.announced', ([url, agentId]) => this.#add(url, agentId));
    link.on<[string, bigint]>('tunnels.withdrawn', ([url, agentId]) => this.#remove(url, agentId));
    link.on<[string]>('tunnels.left', ([url]) => {
      for (const agentId of [...this.#siblings.keys()]) this.#remove(url, agentId);
    });
  }

  announce(agentId: bigint): void {
    if (this.#left || this.#announced.has(agentId)) return;
    this.#announced.add(agentId);
    this.#link.tell('tunnels.announce', agentId);
  }

  withdraw(agentId: bigint): void {
    if (this.#announced.delete(agentId)) this.#link.tell('tunnels.withdraw', agentId);
  }

  leave(): Promise<void> {
    this.#left = true;
    this.#announced.clear();
    return this.#link.call<void>('tunnels.leave').catch(() => {});
  }

  /** The siblings that have tunnels of the agent; nobody is asked. */
  siblingsOf(agentId: bigint): readonly string[] {
    return [...(this.#siblings.get(agentId) ?? [])];
  }

  async nodesOf(agentId: bigint): Promise<readonly string[]> {
    const siblings = this.siblingsOf(agentId);
    const here = this.#announced.has(agentId) ? [this.#ownUrl, ...siblings] : siblings;
    if (this.#elsewhere === undefined) return here;
    return [...here, ...(await this.#elsewhere.nodesOf(agentId))];
  }

  #add(url: string, agentId: bigint): void {
    getOrPut(this.#siblings, agentId, () => new Set<string>()).add(url);
  }

  #remove(url: string, agentId: bigint): void {
    const urls = this.#siblings.get(agentId);
    if (urls?.delete(url) && urls.size === 0) this.#siblings.delete(agentId);
  }
}
