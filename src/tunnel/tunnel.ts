import type { Call, CallSink, FrameSink } from '../grpc/call.ts';
import { PREFIX_BYTES } from '../grpc/frame.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { OneofReader } from '../grpc/oneof_reader.ts';
import { MalformedMessage } from '../grpc/protobuf_wire.ts';
import type { RequestSink, ServerCall } from '../grpc/server_call.ts';
import { type GrpcStatus, OK } from '../grpc/status.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { AgentAnswer, type Answer, refuseFirst } from './agent_answer.ts';
import { decodeDescriptor, type Methods } from './agent_messages.ts';
import { CLOSE_SEND_FRAME, FromAgent, messageFrameSize, requestInfoFrame, writeMessageFrame } from './connect_wire.ts';
import { PassedAnswer } from './passed_answer.ts';

/** Whoever keeps idle tunnels. */
export interface TunnelKeeper {
  /** The tunnel is idle and may be used. */
  add(tunnel: Tunnel): void;
  /** An idle tunnel cannot be used any more. */
  lost(tunnel: Tunnel): void;
  /** It carries a call from now on. */
  busy(tunnel: Tunnel): void;
  /** Its call is over, and so is it. */
  done(tunnel: Tunnel): void;
}

const NO_MEMBER = 'invalid ConnectRequest.Msg: value is required';
const NO_METHODS: Methods = new Set();
const connectRequest = new OneofReader();

/**
 * One ReverseTunnel/Connect stream of an agent. Once the agent has described itself the tunnel is idle, until somebody opens
 * a call through it, which it then carries, one at the most. The tunnel is that call: no layer in between touches the bytes.
 */
export class Tunnel implements Call, RequestSink {
  readonly agentId: bigint;
  readonly #stream: ServerCall;
  readonly #keeper: TunnelKeeper;
  /** Set before anybody can hear: the connection may have its age already. */
  #stopWaitingForAge = () => {};
  #answer: Answer | undefined;
  #state: 'opening' | 'idle' | 'silent' | 'busy' | 'done' = 'opening';
  #methods = NO_METHODS;
  /** What leaves together with the next flush. */
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #method: string | undefined;
  #metadata: Metadata | undefined;
  #closeSend = false;

  /** Starts reading `stream`; the tunnel gives itself to `keeper` when it is idle. */
  constructor(stream: ServerCall, agentId: bigint, keeper: TunnelKeeper) {
    this.#stream = stream;
    this.agentId = agentId;
    this.#keeper = keeper;
    this.#stopWaitingForAge = stream.session.onAge(() => this.end(OK));
    if (this.#state !== 'opening') return;
    stream.expectKept(true); // its description
    stream.receive(this);
  }

  /** What the agent serves through this tunnel. */
  get methods(): Methods {
    return this.#methods;
  }

  /** Whether a call can be opened. Of a tunnel that somebody holds the agent may be lost meanwhile. */
  get idle(): boolean {
    return this.#state === 'idle';
  }

  /** Keeps an idle tunnel, which its keeper has given away, from ending with its connection's age: somebody is about to open a call. */
  hold(): void {
    this.#stopWaitingForAge();
  }

  /** Nobody opens a call after all: the tunnel is the keeper's again, or ends if its connection has become too old meanwhile. */
  release(): void {
    if (this.#state !== 'idle') return;
    this.#stopWaitingForAge = this.#stream.session.onAge(() => this.end(OK));
    if (this.idle) this.#keeper.add(this);
  }

  /** Opens the one call. To be called on an idle tunnel. Nothing leaves before the first write or half-close. */
  open(method: string, sink: CallSink, metadata?: Metadata): Call {
    return this.#open(method, metadata, new AgentAnswer(sink));
  }

  /**
   * Opens the one call for somebody who passes the answer on as it is.
   * @param options.gzip whether what the agent has compressed can be read where it goes
   */
  openFrames(method: string, sink: FrameSink, options: { readonly metadata: Metadata; readonly gzip: boolean }): Call {
    const asItComes = options.gzip || !this.#stream.clientCompresses;
    return this.#open(method, options.metadata, new PassedAnswer(sink, asItComes ? this.#stream : undefined));
  }

  #open(method: string, metadata: Metadata | undefined, answer: Answer): Call {
    this.#state = 'busy';
    this.#keeper.busy(this);
    this.#stopWaitingForAge();
    this.#answer = answer;
    this.#method = method;
    this.#metadata = metadata;
    this.#stream.session.streamBusy();
    return this;
  }

  /** Ends a tunnel that carries no call; with OK the agent reconnects at once. A busy one goes on. */
  end(status: GrpcStatus): void {
    if (this.#state === 'busy' || this.#state === 'done') return;
    if (this.#state === 'idle') this.#keeper.lost(this);
    this.#finish();
    this.#stream.end(status);
  }

  // ---- Call: towards the agent

  write(message: Uint8Array, more = false): boolean {
    if (this.#state !== 'busy') return true;
    this.#queue.push(message);
    this.#queueBytes += messageFrameSize(message.length);
    return more ? true : this.#flush();
  }

  halfClose(): void {
    if (this.#state !== 'busy') return;
    this.#closeSend = true;
    this.#flush();
  }

  onDrain(f: () => void): void {
    this.#stream.onDrain(f);
  }

  pause(): void {
    if (this.#state === 'busy') this.#stream.pause();
  }

  resume(): void {
    if (this.#state === 'busy') this.#stream.resume();
  }

  cancel(status: GrpcStatus): void {
    if (this.#state !== 'busy') return;
    this.#finish();
    this.#stream.end(status);
  }

  #flush(): boolean {
    const ready = this.#stream.compress ? this.#sendEach() : this.#sendTogether();
    this.#method = undefined;
    this.#queue.length = 0;
    this.#queueBytes = 0;
    this.#closeSend = false;
    return ready;
  }

  #sendTogether(): boolean {
    const info = this.#method === undefined ? undefined : requestInfoFrame(this.#method, this.#metadata);
    const infoBytes = info?.length ?? 0;
    const frames = Buffer.allocUnsafe(infoBytes + this.#queueBytes + (this.#closeSend ? CLOSE_SEND_FRAME.length : 0));
    info?.copy(frames);
    let at = infoBytes;
    for (const message of this.#queue) at = writeMessageFrame(frames, at, message);
    if (this.#closeSend) CLOSE_SEND_FRAME.copy(frames, at);
    const messages = (info === undefined ? 0 : 1) + this.#queue.length + (this.#closeSend ? 1 : 0);
    return this.#stream.writeFrames(frames, messages);
  }

  /** Compressed messages have prefixes of their own. */
  #sendEach(): boolean {
    const frames: Buffer[] = [];
    if (this.#method !== undefined) frames.push(requestInfoFrame(this.#method, this.#metadata));
    for (const message of this.#queue) {
      const frame = Buffer.allocUnsafe(messageFrameSize(message.length));
      writeMessageFrame(frame, 0, message);
      frames.push(frame);
    }
    if (this.#closeSend) frames.push(CLOSE_SEND_FRAME);
    return frames.map((frame) => this.#stream.write(frame.subarray(PREFIX_BYTES))).every((ready) => ready);
  }

  // ---- RequestSink: from the agent

  request(payload: Buffer): void {
    try {
      this.#read(payload);
    } catch (error) {
      if (error instanceof MalformedMessage) {
        this.#fail({ code: StatusCode.Internal, message: `grpc: error unmarshalling request: ${error.message}` });
      } else if (error instanceof AppError) this.#fail({ code: error.code, message: error.message });
      else throw error;
    }
  }

  #describe(field: number, descriptor: Buffer): void {
    if (field !== FromAgent.descriptor) {
      const name =
        (['header', 'message', 'trailer', 'error'] as const).find((member) => FromAgent[member] === field) ?? '';
      const goName = name.charAt(0).toUpperCase() + name.slice(1);
      throw new AppError(StatusCode.InvalidArgument, `Invalid oneof value type: *rpc.ConnectRequest_${goName}`);
    }
    this.#methods = decodeDescriptor(descriptor);
    this.#stream.expectKept(false);
    this.#state = 'idle';
    this.#keeper.add(this);
  }

  requestsDone(): void {
    if (this.#state === 'opening') {
      this.#fail({ code: StatusCode.Unknown, message: 'EOF' });
      return;
    }
    if (this.#state === 'idle') {
      // It cannot answer any more, so it is of no use, also to whoever holds it back. The stream is the agent's to close, or
      // ends with the connection's age.
      this.#state = 'silent';
      this.#keeper.lost(this);
      return;
    }
    const refusal = this.#answer?.refusal;
    if (refusal !== undefined) {
      this.#fail({ code: StatusCode.InvalidArgument, message: refusal });
      return;
    }
    this.#finish();
    this.#stream.end(OK);
    this.#answer?.end();
  }

  cancelled(): void {
    this.#lose({ code: StatusCode.Unavailable, message: 'the connection to the agent was lost' });
  }

  #read(payload: Buffer): void {
    connectRequest.read(payload, FromAgent.error);
    const { field, start, end } = connectRequest;
    if (field === 0) throw new AppError(StatusCode.InvalidArgument, NO_MEMBER);
    if (this.#answer !== undefined) this.#answer.take(field, payload, start, end);
    else if (this.#state === 'opening') this.#describe(field, payload.subarray(start, end));
    else {
      const refusal = refuseFirst(field) ?? `unexpected field number received: ${field}`;
      throw new AppError(StatusCode.InvalidArgument, refusal);
    }
  }

  /** The agent broke the rules: both sides get to know why. */
  #fail(status: GrpcStatus): void {
    this.#stream.end(status);
    this.#lose(status);
  }

  #lose(status: GrpcStatus): void {
    const was = this.#state;
    if (was === 'done') return;
    this.#finish();
    if (was === 'idle') this.#keeper.lost(this);
    else if (was === 'busy') this.#answer?.fail(status);
  }

  #finish(): void {
    if (this.#state === 'busy') {
      this.#stream.session.streamIdle();
      this.#keeper.done(this);
    } else this.#stopWaitingForAge();
    this.#state = 'done';
    this.#queue.length = 0;
  }
}
