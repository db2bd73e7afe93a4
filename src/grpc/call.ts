import type { RequestContext } from '../observability/tracer.ts';
import type { Metadata } from './metadata.ts';
import type { GrpcStatus } from './status.ts';

/**
 * An RPC that somebody has opened towards an agent, seen from the caller. A tunnel of this node, a stream to a peer and a
 * plain gRPC stream all look like this, so that whoever forwards bytes need not know which one it has.
 *
 * No method throws, and after `end` of the sink, or after `cancel`, all of them do nothing.
 */
export interface Call {
  /**
   * Sends one message: the payload without gRPC's five-byte prefix. The bytes are the call's from now on.
   * False means that the peer is slower than the writer: stop until `onDrain` calls.
   * @param more true if another write or halfClose follows at once, so that small messages leave together.
   */
  write(message: Uint8Array, more?: boolean): boolean;
  /** `f` is called each time that writing may go on after `write` returned false. At most one function; the last wins. */
  onDrain(f: () => void): void;
  /** Stops the sink's messages, and with them the peer, as soon as its window is full. */
  pause(): void;
  resume(): void;
  /** No further message will be written. */
  halfClose(): void;
  /** Gives the call up. The sink hears nothing more, not even `end`; `status` is what the peer gets to see. */
  cancel(status: GrpcStatus): void;
}

/** Where the answer to a call goes. Order: header?, message*, trailer?, end. `end` comes exactly once, nothing after it. */
export interface CallSink {
  /** Left out by who has no use for metadata, which then is not even decoded. */
  header?(metadata: Metadata): void;
  /** One message's payload. It may be kept, but is a view that keeps a larger buffer alive. */
  message(payload: Buffer): void;
  trailer?(metadata: Metadata): void;
  end(status: GrpcStatus): void;
}

/** Where the answer to a call goes that nobody here looks into: bytes as they come. `end` comes once, nothing after it. */
export interface FrameSink {
  /** Bytes of messages with gRPC's prefixes, cut anywhere; some may be compressed with gzip. */
  frames(bytes: Buffer): void;
  end(status: GrpcStatus): void;
}

/** What goes along with a call besides its messages. Whoever hands the call on hands this on. */
export interface CallContext extends RequestContext {
  /** What the log lines about the call are found by, on every node (docs/protocol/logs.md). Made when it is first asked for. */
  correlationId?(): string;
  /** Hears once which way the call has taken: `local`, `waited` (for a tunnel of this node), or the URL of a peer. */
  routed?(way: string): void;
}

/** Opens a call to an agent; how it gets there is the opener's business. */
export interface AgentCaller {
  /** @param method full method with leading slash, e.g. `/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest` */
  open(agentId: bigint, method: string, sink: CallSink, context?: CallContext): Call;
}
