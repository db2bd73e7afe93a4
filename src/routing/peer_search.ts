import type { Metadata } from '../grpc/metadata.ts';
import type { GrpcStatus } from '../grpc/status.ts';
import type { Headers } from '../http2/stream.ts';
import type { Fields, Log } from '../observability/log.ts';
import { methodFields } from '../observability/method_fields.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Timer } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { KnownNodes } from './known_nodes.ts';
import type { PeerStream } from './peer_stream.ts';
import type { Peers } from './peers.ts';
import { ROUTING_AGENT_ID } from './routing_metadata.ts';

/** How long an attempt is the only one (docs/protocol/routing.md). */
const TRY_NEXT_MS = 10;
/** A node that has refused or failed is asked again after so long. */
const RETRY = { initMs: 100, maxMs: 1000, resetMs: 10_000, factor: 2, jitter: 1 };

export interface PeerSearchOptions {
  readonly agentId: bigint;
  /** Full method with leading slash. */
  readonly method: string;
  readonly metadata: Metadata;
  readonly peers: Peers;
  readonly nodes: KnownNodes;
  readonly scope: Scope;
  readonly random: Random;
  readonly log: Log;
  /** What all log lines about the request have; asked only if there is something to log. */
  readonly trail: () => Fields;
  /** A node has a tunnel and holds it; the search is over. */
  readonly found: (stream: PeerStream, url: string) => void;
  /** The directory names no other node. May be called more than once. */
  readonly nowhere?: () => void;
}

interface Attempt {
  /** Undefined: it has failed, and is made again when the timer says so. */
  stream: PeerStream | undefined;
  retry: Timer | undefined;
  backoff: Backoff | undefined;
}

/** Looks for a tunnel of one agent at the other nodes, until one has been found or nobody needs it any more. */
export class PeerSearch {
  readonly #options: PeerSearchOptions;
  readonly #attempts = new Map<string, Attempt>();
  readonly #headers: Headers;
  #known: readonly string[];
  #needsAnother = false;
  #stopPolling: (() => void) | undefined;
  #next: Timer | undefined;
  #over = false;

  constructor(options: PeerSearchOptions) {
    this.#options = options;
    const { agentId, metadata, nodes } = options;
    this.#headers = { [ROUTING_AGENT_ID]: String(agentId), ...Object.fromEntries(metadata) };
    this.#known = nodes.remembered(agentId);
    this.#tryNext();
  }

  /** Gives back what nodes hold for this search. Idempotent. */
  stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#next?.stop();
    this.#stopPolling?.();
    for (const { stream, retry } of this.#attempts.values()) {
      retry?.stop();
      stream?.cancel();
    }
    this.#attempts.clear();
  }

  /** Asks the first node that has not been asked; if there is none, the first that the directory comes to name. */
  #tryNext(): void {
    if (this.#over) return;
    this.#next?.stop();
    this.#next = undefined;
    const url = this.#known.find((known) => !this.#attempts.has(known) && this.#mayAsk(known));
    if (url === undefined) {
      this.#needsAnother = true;
      this.#poll();
      return;
    }
    this.#needsAnother = false;
    this.#attempt(url);
    this.#next = this.#options.scope.timeout(TRY_NEXT_MS, () => this.#tryNext());
  }

  #mayAsk(url: string): boolean {
    const peer = this.#options.peers.at(url);
    return peer !== undefined && peer.restMs === 0;
  }

  #poll(): void {
    const { nodes, agentId, peers, nowhere } = this.#options;
    this.#stopPolling ??= nodes.poll(agentId, (urls) => {
      if (this.#over) return;
      this.#known = urls.filter((url) => !peers.isSelf(url));
      if (this.#needsAnother) this.#tryNext();
      if (this.#known.length === 0) nowhere?.();
    });
  }

  #attempt(url: string): void {
    const { peers, method, log, trail, agentId, found } = this.#options;
    const peer = peers.at(url);
    if (peer === undefined) return;
    if (log.debugEnabled) {
      log.debug('Trying tunnel', { ...methodFields(method), agent_id: agentId, kas_url: url, ...trail() });
    }
    let attempt = this.#attempts.get(url);
    if (attempt === undefined) {
      attempt = { stream: undefined, retry: undefined, backoff: undefined };
      this.#attempts.set(url, attempt);
    }
    const made = attempt;
    const stream = peer.ask(method, this.#headers, {
      noTunnel: () => this.#tryNext(),
      ready: () => {
        if (this.#over) return;
        made.stream = undefined; // not to be cancelled with the others
        this.stop();
        found(stream, url);
      },
      failed: (status) => this.#failed(url, made, status),
    });
    made.stream = stream;
  }

  #failed(url: string, attempt: Attempt, status: GrpcStatus): void {
    attempt.stream = undefined;
    if (this.#over) return;
    this.#report(url, status);
    const { scope, random } = this.#options;
    attempt.backoff ??= new Backoff(RETRY, { clock: scope.clock, random });
    const restMs = this.#options.peers.at(url)?.restMs ?? 0;
    attempt.retry = scope.timeout(Math.max(attempt.backoff.nextMs(), restMs), () => {
      attempt.retry = undefined;
      if (this.#known.includes(url)) this.#attempt(url);
      else this.#attempts.delete(url); // to be asked at once if the directory names it again
    });
    this.#tryNext();
  }

  /** A node that cannot be reached is told of by its peer, once; and nodes end streams with OK or Unavailable when they leave. */
  #report(url: string, status: GrpcStatus): void {
    const { log, trail, method, agentId, peers } = this.#options;
    if (status.code === StatusCode.OK || status.code === StatusCode.Unavailable) return;
    if (peers.at(url)?.complaints.due !== true) return;
    const fields = {
      ...methodFields(method),
      agent_id: agentId,
      kas_url: url,
      error: status.message,
      ...trail(),
      hint: OTHER_NODE_HINT,
    };
    if (status.code === StatusCode.Unauthenticated) {
      log.error("The other node does not take this node's token: private API secrets or clocks differ", {
        ...fields,
        hint: 'private_api.listen.authentication_secret_file must have the same content on all nodes, and their clocks must agree within 5 seconds',
      });
    } else log.error('RecvMsg(GatewayKasResponse)', fields);
  }
}

const OTHER_NODE_HINT = 'the log of the node at kas_url says more; all nodes should have the same version';
