import type { SecureContext } from 'node:tls';
import type { NodeTokens } from '../auth/node_token.ts';
import { KEEPALIVE_CHECK_MS } from '../net/keepalive.ts';
import type { OutgoingLog } from '../net/outgoing_log.ts';
import { Rounds } from '../net/rounds.ts';
import type { WindowBudget } from '../net/windows.ts';
import type { Log } from '../observability/log.ts';
import type { CountPeerFailure } from '../observability/peer_metrics.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { dialFailure, failureKind } from './dial_failure.ts';
import { parseNodeUrl } from './node_url.ts';
import { Peer } from './peer.ts';

export interface PeersOptions {
  /** This node's own URLs: it does not ask itself. */
  readonly ownUrls: readonly string[];
  readonly tokens: NodeTokens;
  readonly tls: { readonly secureContext: () => SecureContext; readonly serverName: string };
  readonly userAgent: string;
  readonly windows: WindowBudget;
  /** Undefined: nobody is told of connections. */
  readonly outgoing: OutgoingLog | undefined;
  readonly onFailure: CountPeerFailure;
  readonly scope: Scope;
  readonly random: Random;
  readonly log: Log;
}

/** A node that could not be reached is left alone for so long, longer each time. */
const REST = { initMs: 100, maxMs: 5000, resetMs: 60_000, factor: 2, jitter: 1 };
/** Unusable URLs that were told of; beyond it they are told of again. */
const TOLD = 1000;

/** The other nodes, by URL. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #own: ReadonlySet<string>;
  readonly #rounds: Rounds;
  readonly #peers = new Map<string, Peer>();
  readonly #unusable = new Set<string>();

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#own = new Set(options.ownUrls);
    this.#rounds = new Rounds(options.scope, KEEPALIVE_CHECK_MS);
    options.scope.own(this);
  }

  /** Whether this is one of this node's own URLs. */
  isSelf(url: string): boolean {
    return this.#own.has(url);
  }

  /** The node at `url`; undefined if it is this one, or no URL of a private API, which is logged once. */
  at(url: string): Peer | undefined {
    if (this.#own.has(url)) return undefined;
    return this.#peers.get(url) ?? this.#meet(url);
  }

  /** How many nodes there are connections to, or were within the last hour. */
  get size(): number {
    return this.#peers.size;
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
  }

  #meet(url: string): Peer | undefined {
    const { tokens, tls, userAgent, windows, outgoing, onFailure, scope, random, log } = this.#options;
    const endpoint = parseNodeUrl(url);
    if (endpoint === undefined) {
      if (!this.#unusable.has(url)) {
        if (this.#unusable.size >= TOLD) this.#unusable.clear();
        this.#unusable.add(url);
        const hint =
          'look at OWN_PRIVATE_API_URL of the other nodes: grpc://host:port, grpcs://host:port or unix:///path';
        log.error('Failed to dial kas', { kas_url: url, error: `unsupported URL scheme in ${url}`, hint });
      }
      return undefined;
    }
    for (const [known, peer] of this.#peers) if (peer.forgotten) this.#forget(known, peer);
    const { clock } = scope;
    const peer = new Peer({
      url,
      endpoint,
      tls,
      tokens,
      userAgent,
      windows,
      rounds: this.#rounds,
      backoff: new Backoff(REST, { clock, random }),
      clock,
      outgoing,
      onDown(reason, news) {
        onFailure(failureKind(reason));
        if (news) log.error('Failed to dial kas', { kas_url: url, ...dialFailure(endpoint.kind, reason) });
      },
      onIdle: () => log.debug('Closed idle pool connection', { pool_conn_url: url }),
    });
    this.#peers.set(url, peer);
    return peer;
  }

  #forget(url: string, peer: Peer): void {
    peer.close();
    this.#peers.delete(url);
  }
}
