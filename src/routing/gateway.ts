import { bearerToken } from '../auth/bearer_token.ts';
import type { NodeTokenVerifier } from '../auth/node_token.ts';
import type { Call, FrameSink } from '../grpc/call.ts';
import { frameOf } from '../grpc/frame.ts';
import type { Metadata } from '../grpc/metadata.ts';
import type { Method } from '../grpc/server.ts';
import type { RequestSink, ServerCall } from '../grpc/server_call.ts';
import { type GrpcStatus, OK } from '../grpc/status.ts';
import { CORRELATION_METADATA } from '../observability/correlation_id.ts';
import type { Log } from '../observability/log.ts';
import { methodFields } from '../observability/method_fields.ts';
import { NowAndThen } from '../observability/now_and_then.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { TunnelRegistry, Waiter } from '../tunnel/registry.ts';
import { type HeldTunnel, heldBySibling, heldHere } from './held_tunnel.ts';
import { HOP_PREFIX, ROUTING_AGENT_ID } from './routing_metadata.ts';
import type { Siblings } from './siblings.ts';

/** GatewayKasResponse without content. */
const TUNNEL_READY = frameOf(Buffer.from([0x0a, 0]));
const NO_TUNNEL = frameOf(Buffer.from([0x32, 0]));

/** What nodes send with every call, of which the agent gets the user agent alone. */
const OF_NODES: ReadonlySet<string> = new Set([
  ...[':method', ':path', ':scheme', ':authority', 'content-type', 'user-agent', 'te', 'authorization'],
  ...['grpc-accept-encoding', ROUTING_AGENT_ID, CORRELATION_METADATA],
]);
/** Metadata of the call between the nodes, which means nothing to the agent. The token must not reach it at all. */
const OF_THIS_HOP = /^(?::|grpc-|(?:authorization|content-type|te|accept-encoding|x-gitlab-correlation-id)$)/;

/** What a node may send ahead of its turn before it is no longer read. */
const MAX_EARLY_BYTES = 64 << 10;
const COMPLAIN_EVERY_MS = 60_000;

const SHUTTING_DOWN: GrpcStatus = { code: StatusCode.Unavailable, message: 'kas is shutting down' };
const CALLER_GONE: GrpcStatus = { code: StatusCode.Canceled, message: 'Incoming stream closed: context canceled' };

export interface GatewayOptions {
  readonly tunnels: TunnelRegistry;
  /** Whom to ask for tunnels too, because callers mean all workers. Undefined: they mean this process. */
  readonly siblings?: Siblings | undefined;
  readonly tokens: NodeTokenVerifier;
  readonly clock: Clock;
  readonly log: Log;
}

/** Takes calls of other nodes to agents that are connected here (docs/protocol/routing.md, between nodes). */
export class Gateway {
  readonly #options: GatewayOptions;
  /** Calls that wait for a tunnel. */
  readonly #waiting = new Set<GatewayCall>();
  readonly #complaints: NowAndThen;
  #leaving = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#complaints = new NowAndThen(options.clock, COMPLAIN_EVERY_MS);
  }

  /** The agents' method of this path, as other nodes call it. */
  method(path: string): Method {
    return { path, handle: (call) => this.#handle(call) };
  }

  /** Nobody need wait here any more: this node leaves, and agents go elsewhere. */
  leave(): void {
    this.#leaving = true;
    for (const call of [...this.#waiting]) call.refuse(SHUTTING_DOWN);
  }

  #handle(call: ServerCall): void {
    this.#admit(call);
    const agentId = agentIdOf(call);
    const metadata = metadataForAgent(call);
    const correlation = call.metadata(CORRELATION_METADATA);
    if (this.#leaving) {
      call.end(SHUTTING_DOWN);
      return;
    }
    const shared = { ...this.#options, waiting: this.#waiting, leaving: () => this.#leaving };
    new GatewayCall(call, { agentId, metadata, correlation }, shared);
  }

  #admit(call: ServerCall): void {
    const { tokens } = this.#options;
    const token = bearerToken(call.metadata('authorization'));
    try {
      tokens.verify(token);
      call.session.prove();
    } catch (error) {
      if (error instanceof AppError) this.#report(call, errorText(error.cause));
      throw error;
    }
  }

  #report(call: ServerCall, problem: string): void {
    const { log } = this.#options;
    if (/signature/.test(problem) && this.#complaints.due) {
      const fields = { remote_address: call.session.remoteAddress, error: problem };
      log.warn('A node with another private API secret has called', { ...fields, hint: SECRET_HINT });
    } else if (log.debugEnabled) {
      log.debug('JWT validation failed', { ...methodFields(call.path), error: problem });
    }
  }
}

const SECRET_HINT = 'private_api.listen.authentication_secret_file must have the same content on all nodes';

function agentIdOf(call: ServerCall): bigint {
  const only = call.metadata(ROUTING_AGENT_ID);
  if (only !== undefined && /^\d{1,18}$/.test(only)) return BigInt(only);
  const values = call.metadataValues(ROUTING_AGENT_ID);
  if (values.length !== 1) {
    throw new AppError(StatusCode.InvalidArgument, `Expecting a single ${ROUTING_AGENT_ID}, got ${values.length}`);
  }
  const [value = ''] = values;
  const id = /^[-+]?\d{1,19}$/.test(value) ? BigInt(value) : undefined;
  if (id === undefined || BigInt.asIntN(64, id) !== id)
    throw new AppError(StatusCode.InvalidArgument, `Invalid ${ROUTING_AGENT_ID}`);
  return id;
}

/** What the agent gets: nothing but the node's user agent, as a rule, and that is the same object for all calls of a node. */
function metadataForAgent(call: ServerCall): Metadata {
  if (call.hasOnlyMetadata(OF_NODES)) return userAgentMetadata(call.metadata('user-agent') ?? '');
  const keys = [...call.metadataKeys()].filter((key) => !OF_THIS_HOP.test(key) && !key.startsWith(HOP_PREFIX));
  return new Map(keys.map((key) => [key, call.metadataValues(key)]));
}

const userAgents = new Map<string, Metadata>();
const KNOWN_USER_AGENTS = 16;

function userAgentMetadata(userAgent: string): Metadata {
  let metadata = userAgents.get(userAgent);
  if (metadata === undefined) {
    metadata = new Map([['user-agent', [userAgent]]]);
    if (userAgents.size < KNOWN_USER_AGENTS) userAgents.set(userAgent, metadata);
  }
  return metadata;
}

/** What a call of another node is about. */
interface Wanted {
  readonly agentId: bigint;
  /** For the agent. */
  readonly metadata: Metadata;
  /** For the log lines of other nodes. */
  readonly correlation: string | undefined;
}

/** Where a call of another node looks for a tunnel, and who ends its waiting. */
interface Surroundings extends Pick<GatewayOptions, 'tunnels' | 'siblings' | 'log'> {
  readonly waiting: Set<GatewayCall>;
  readonly leaving: () => boolean;
}

/** One call of another node: waits for a tunnel, holds it until the node takes it, and passes messages both ways. */
class GatewayCall implements RequestSink, FrameSink {
  readonly #call: ServerCall;
  readonly #wanted: Wanted;
  readonly #tunnels: TunnelRegistry;
  readonly #siblings: Siblings | undefined;
  readonly #log: Log;
  readonly #waiting: Set<GatewayCall>;
  readonly #leaving: () => boolean;
  readonly #gzip: boolean;
  #waiter: Waiter | undefined;
  #search: { stop(): void } | undefined;
  #held: HeldTunnel | undefined;
  /** The call through the tunnel. */
  #agent: Call | undefined;
  /** The other node has said so. */
  #started = false;
  /** What came before it could go on. */
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  #callerDone = false;

  constructor(call: ServerCall, wanted: Wanted, { tunnels, siblings, log, waiting, leaving }: Surroundings) {
    this.#call = call;
    this.#wanted = wanted;
    this.#tunnels = tunnels;
    this.#siblings = siblings;
    this.#log = log;
    this.#waiting = waiting;
    this.#leaving = leaving;
    this.#gzip = /\bgzip\b/.test(call.metadata('grpc-accept-encoding') ?? '');
    call.passesCompressed = this.#gzip;
    const tunnel = this.#take();
    if (tunnel !== undefined) this.#hold(tunnel);
    else {
      // A sibling that has some answers in no time; until then nobody need look elsewhere.
      if (!siblings?.have(wanted.agentId)) call.writeFrames(NO_TUNNEL);
      this.#wait((found) => this.#hold(found));
    }
    call.receive(this);
  }

  /** Whoever waits for a tunnel may as well look elsewhere. */
  refuse(status: GrpcStatus): void {
    this.#letGo();
    this.#call.end(status);
  }

  /** An idle tunnel of this process. */
  #take(): HeldTunnel | undefined {
    const tunnel = this.#tunnels.take(this.#wanted.agentId, this.#call.path);
    return tunnel && heldHere(tunnel, this.#about);
  }

  get #about() {
    return { method: this.#call.path, metadata: this.#wanted.metadata, gzip: this.#gzip };
  }

  #wait(found: (tunnel: HeldTunnel) => void): void {
    const { agentId, metadata, correlation } = this.#wanted;
    const { path } = this.#call;
    const trail = () => this.#call.trail();
    this.#waiting.add(this);
    this.#waiter = this.#tunnels.wait(agentId, path, (tunnel) => {
      this.#stopWaiting();
      found(heldHere(tunnel, this.#about));
    });
    this.#search = this.#siblings?.search({ agentId, method: path, metadata, correlation, trail }, (stream) => {
      this.#stopWaiting();
      found(heldBySibling(stream, this.#about));
    });
  }

  #stopWaiting(): void {
    this.#waiting.delete(this);
    this.#waiter?.cancel();
    this.#waiter = undefined;
    this.#search?.stop();
    this.#search = undefined;
  }

  #hold(tunnel: HeldTunnel): void {
    this.#held = tunnel;
    this.#call.writeFrames(TUNNEL_READY);
    this.#proceed();
  }

  // ---- from the other node

  request(payload: Buffer): void {
    if (this.#agent !== undefined) {
      if (!this.#agent.write(payload)) this.#call.pause();
      return;
    }
    this.#early.push(payload);
    this.#earlyBytes += payload.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.#call.pause();
    this.#proceed();
  }

  requestsDone(): void {
    this.#callerDone = true;
    if (this.#agent !== undefined) this.#agent.halfClose();
    else this.#proceed();
  }

  cancelled(): void {
    this.#letGo();
    this.#agent?.cancel(CALLER_GONE);
    this.#streamingEnds();
  }

  /** Takes the tunnel that is held, once the other node says so. */
  #proceed(): void {
    if (this.#started || this.#held === undefined) return;
    if (this.#early.length === 0) {
      if (!this.#callerDone) return;
      this.#letGo();
      this.#call.end(OK);
      return;
    }
    this.#early.shift(); // StartStreaming, whatever is in it
    this.#started = true;
    const tunnel = this.#held;
    this.#held = undefined;
    // Its agent may have been lost while it was held; nothing has been sent through it, so another one will do.
    const usable = tunnel.usable ? tunnel : this.#take();
    if (usable !== undefined) this.#open(usable);
    else if (this.#leaving()) this.#call.end(SHUTTING_DOWN);
    else this.#wait((found) => this.#open(found));
  }

  #open(tunnel: HeldTunnel): void {
    const agent = tunnel.open(this);
    agent.onDrain(() => this.#call.resume());
    this.#call.onDrain(() => agent.resume());
    this.#call.session.streamBusy();
    this.#agent = agent;
    if (this.#log.debugEnabled) {
      const fields = { agent_id: this.#wanted.agentId, remote_address: this.#call.session.remoteAddress };
      this.#log.debug('Request of another node', {
        ...methodFields(this.#call.path),
        ...fields,
        ...this.#call.trail(),
      });
    }
    const early = this.#early.splice(0);
    let ready = true;
    for (const [i, payload] of early.entries()) ready = agent.write(payload, i < early.length - 1 || this.#callerDone);
    if (this.#callerDone) agent.halfClose();
    else if (ready) this.#call.resume();
  }

  // ---- from the agent

  frames(bytes: Buffer): void {
    if (!this.#call.passFrames(bytes)) this.#agent?.pause();
  }

  end(status: GrpcStatus): void {
    this.#streamingEnds();
    this.#call.end(status);
  }

  #streamingEnds(): void {
    if (this.#agent === undefined) return;
    this.#agent = undefined;
    this.#call.session.streamIdle();
  }

  #letGo(): void {
    this.#stopWaiting();
    const held = this.#held;
    this.#held = undefined;
    held?.giveBack();
  }
}
