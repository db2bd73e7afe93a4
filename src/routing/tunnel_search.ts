import type { Call, CallContext, CallSink } from '../grpc/call.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { CORRELATION_METADATA } from '../observability/correlation_id.ts';
import type { Log } from '../observability/log.ts';
import { methodFields } from '../observability/method_fields.ts';
import type { RoutingMetrics } from '../observability/routing_metrics.ts';
import type { Span } from '../observability/tracer.ts';
import { trailOf } from '../observability/trail.ts';
import type { Timer } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { TunnelRegistry, Waiter } from '../tunnel/registry.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import type { KnownNodes } from './known_nodes.ts';
import { PeerSearch } from './peer_search.ts';
import type { Peers } from './peers.ts';
import { TracedCall } from './traced_call.ts';
import { WaitingCall } from './waiting_call.ts';
import type { Whereabouts } from './whereabouts.ts';

/** How long a request waits for a tunnel (docs/protocol/routing.md). */
const FIND_TUNNEL_MS = 20_000;
const PATIENCE_MS = 10;
const NOT_FOUND = 'Agent connection not found';
const HINT = "is the agent's pod running, and does its log say that it is connected?";

/** What leads to other nodes. */
export interface OtherNodes {
  readonly peers: Peers;
  readonly nodes: KnownNodes;
}

export interface TunnelSearchOptions {
  readonly tunnels: TunnelRegistry;
  /** Undefined: this node is the only one. */
  readonly others: OtherNodes | undefined;
  readonly whereabouts: Whereabouts;
  readonly metrics: RoutingMetrics;
  readonly scope: Scope;
  readonly random: Random;
  readonly log: Log;
}

/** The call that looks for a tunnel. */
export interface Sought {
  readonly agentId: bigint;
  /** Full method with leading slash. */
  readonly method: string;
  readonly sink: CallSink;
  readonly context: CallContext;
}

/** One call's search for a tunnel, here and at the other nodes at once. */
export class TunnelSearch {
  /** What the caller has meanwhile. */
  readonly call: WaitingCall;
  readonly #options: TunnelSearchOptions;
  readonly #sought: Sought;
  readonly #done: (outcome: string | undefined) => void;
  readonly #startedMs: number;
  readonly #waiter: Waiter;
  readonly #timer: Timer;
  #patience: Timer | undefined;
  #elsewhere: PeerSearch | undefined;
  #outcome: 'found' | 'given up by the caller' | typeof NOT_FOUND = 'given up by the caller';
  #asked = false;
  #over = false;

  /** @param done called once, when the search is over; without an outcome if there is a tunnel */
  constructor(options: TunnelSearchOptions, sought: Sought, done: (outcome: string | undefined) => void) {
    const { tunnels, scope } = options;
    const { agentId, method, sink, context } = sought;
    this.#options = options;
    this.#sought = sought;
    this.#done = done;
    this.#startedMs = scope.clock.monotonicMs();
    this.call = new WaitingCall(sink, () => this.#stop());
    this.#waiter = tunnels.wait(agentId, method, (tunnel) =>
      this.#found('waited', () => openThrough(tunnel, method, sink, context)),
    );
    this.#timer = scope.timeout(FIND_TUNNEL_MS, () => this.#notFound('context deadline exceeded', true, ''));
    // An agent that is connected here opens more tunnels within moments; only when it does not are others asked.
    if (!tunnels.isBusy(agentId)) this.#lookElsewhere();
    else if (options.others !== undefined) this.#patience = scope.timeout(PATIENCE_MS, () => this.#lookElsewhere());
  }

  #lookElsewhere(): void {
    const { others, scope, random, log } = this.#options;
    if (others === undefined) {
      void this.#askWhetherItIsThere();
      return;
    }
    const { agentId, method, sink, context } = this.#sought;
    this.#elsewhere = new PeerSearch({
      ...others,
      agentId,
      method,
      metadata: metadataForNodes(context),
      scope,
      random,
      log,
      trail: () => trailOf(context.span, context.correlationId?.()),
      found: (stream, url) =>
        this.#found(url, () => openTraced(context.span, method, sink, (traced) => stream.start(traced))),
      nowhere: () => void this.#askWhetherItIsThere(),
    });
  }

  #found(way: string, open: () => Call): void {
    this.#outcome = 'found';
    this.#sought.context.routed?.(way);
    this.call.connect(open());
  }

  #stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#waiter.cancel();
    this.#timer.stop();
    this.#patience?.stop();
    this.#elsewhere?.stop();
    const waitedMs = this.#options.scope.clock.monotonicMs() - this.#startedMs;
    if (this.#outcome === 'found') this.#options.metrics.found(waitedMs);
    else if (this.#outcome !== NOT_FOUND) this.#options.metrics.aborted(waitedMs);
    this.#done(this.#outcome === 'found' ? undefined : this.#outcome);
  }

  /** Nobody need wait for an agent that has been away for longer than it takes to come back. */
  async #askWhetherItIsThere(): Promise<void> {
    if (this.#asked) return;
    this.#asked = true;
    const away = await this.#options.whereabouts.away(this.#sought.agentId);
    if (away !== undefined && !this.#over) this.#notFound('the agent is connected to no node', false, ` ${away}`);
  }

  #notFound(error: string, connectedRecently: boolean, more: string): void {
    const { agentId, method, context } = this.#sought;
    const { log, metrics } = this.#options;
    this.#outcome = NOT_FOUND;
    metrics.timedOut(connectedRecently);
    const trail = trailOf(context.span, context.correlationId?.());
    const hint = this.#hint();
    log.error(NOT_FOUND, { ...methodFields(method), agent_id: agentId, error, ...trail, hint });
    const message = `${NOT_FOUND}. Is agent up to date and connected?${more}`;
    this.call.fail({ code: StatusCode.DeadlineExceeded, message });
  }

  /** Where to look first: at the agent, or at what the nodes say of each other. */
  #hint(): string {
    const { others } = this.#options;
    const named = others?.nodes.remembered(this.#sought.agentId) ?? [];
    const own = named.find((url) => others?.peers.isSelf(url));
    if (own !== undefined) {
      return `the agent was announced under this node's own URL ${own} and is not here: it was before a restart, or another node has the same URL, see OWN_PRIVATE_API_URL`;
    }
    if (named.length === 0) return HINT;
    return `the agent was announced by ${named.join(', ')}: earlier lines with this kas_url say if that node could not be reached; otherwise ${HINT}`;
  }
}

/** Opens a call through a tunnel of this node, traced if its request is. */
export function openThrough(tunnel: Tunnel, method: string, sink: CallSink, { span }: CallContext): Call {
  const metadata = span && new Map([['traceparent', [span.traceparent]]]);
  return openTraced(span, method, sink, (traced) => tunnel.open(method, traced, metadata));
}

/** What goes along to the nodes on the way. */
function metadataForNodes(context: CallContext): Metadata {
  const { span } = context;
  const metadata = new Map<string, readonly string[]>();
  if (span !== undefined) metadata.set('traceparent', [span.traceparent]);
  const correlationId = context.correlationId?.();
  if (correlationId !== undefined) metadata.set(CORRELATION_METADATA, [correlationId]);
  return metadata;
}

function openTraced(span: Span | undefined, method: string, sink: CallSink, open: (sink: CallSink) => Call): Call {
  if (span === undefined) return open(sink);
  return new TracedCall(span.child('tunnel', 'client', { 'rpc.method': method.slice(1) }), sink, open);
}
