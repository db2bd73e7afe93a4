import { CORRELATION_METADATA } from '../observability/correlation_id.ts';
import { KnownNodes } from './known_nodes.ts';
import { PeerSearch, type PeerSearchOptions } from './peer_search.ts';
import type { PeerStream } from './peer_stream.ts';

type SiblingsOptions = Pick<PeerSearchOptions, 'peers' | 'scope' | 'random' | 'log'> & {
  /** The URLs of the workers that have tunnels of the agent, this one's not among them; nobody is asked for it. */
  readonly siblingsOf: (agentId: bigint) => readonly string[];
};

/** The other workers of this server, for calls that mean all of it (docs/architecture.md, more cores). */
export class Siblings {
  readonly #options: SiblingsOptions;
  readonly #nodes: KnownNodes;

  constructor(options: SiblingsOptions) {
    const { siblingsOf } = options;
    this.#options = options;
    this.#nodes = new KnownNodes({ nodesOf: (agentId) => Promise.resolve(siblingsOf(agentId)) }, options);
  }

  /** Whether any of them has a tunnel of the agent. */
  have(agentId: bigint): boolean {
    return this.#options.siblingsOf(agentId).length > 0;
  }

  /**
   * Looks for a tunnel until `found` is called or the returned search is stopped.
   * @param found gets a stream to a sibling that holds a tunnel; not called before this returns
   */
  search(
    sought: Pick<PeerSearchOptions, 'agentId' | 'method' | 'metadata' | 'trail'> & {
      readonly correlation: string | undefined;
    },
    found: (stream: PeerStream) => void,
  ): { stop(): void } {
    const { correlation } = sought;
    const metadata =
      correlation === undefined
        ? sought.metadata
        : new Map([...sought.metadata, [CORRELATION_METADATA, [correlation]]]);
    return new PeerSearch({ ...this.#options, ...sought, metadata, nodes: this.#nodes, found });
  }
}
