import { Automaton, END_OF_STREAM, START } from '../grpc/automaton.ts';
import type { Call, CallSink } from '../grpc/call.ts';
import { MalformedMessage, WireReader } from '../grpc/protobuf_wire.ts';
import type { RequestSink, ServerCall } from '../grpc/server_call.ts';
import { type GrpcStatus, OK } from '../grpc/status.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { decodeDescriptor, decodeError, decodeMetadata, type Methods } from './agent_messages.ts';
import {
  CLOSE_SEND_FRAME,
  FromAgent,
  messageFrameSize,
  PREFIX_BYTES,
  requestInfoFrame,
  writeMessageFrame,
} from './connect_wire.ts';

/** What may follow what in an agent's messages (docs/protocol/tunnel.md, order of messages). */
const agentMessages = new Automaton({
  [START]: [FromAgent.descriptor],
  [FromAgent.descriptor]: [FromAgent.header, FromAgent.error],
  [FromAgent.header]: [FromAgent.message, FromAgent.trailer],
  [FromAgent.message]: [FromAgent.message, FromAgent.trailer],
  [FromAgent.trailer]: [END_OF_STREAM, FromAgent.error],
  [FromAgent.error]: [END_OF_STREAM],
});

/** Whoever keeps idle tunnels. */
export interface TunnelKeeper {
  /** The tunnel is idle and may be used. */
  add(tunnel: Tunnel): void;
  /** An idle tunnel cannot be used any more. */
  lost(tunnel: Tunnel): void;
}

const NO_METHODS: Methods = new Set();

/** One serves all tunnels: a message is read to its end before anybody is called. */
const wire = new WireReader();

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
  #sink: CallSink | undefined;
  #state: 'opening' | 'idle' | 'busy' | 'done' = 'opening';
  #methods = NO_METHODS;
  /** The last message of the agent, as the automaton counts. */
  #received: number = START;
  #outcome: GrpcStatus = OK;
  /** What leaves together with the next flush. */
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #method: string | undefined;
  #closeSend = false;

  /** Starts reading `stream`; the tunnel gives itself to `keeper` when it is idle. */
  constructor(stream: ServerCall, agentId: bigint, keeper: TunnelKeeper) {
    this.#stream = stream;
    this.agentId = agentId;
    this.#keeper = keeper;
    this.#stopWaitingForAge = stream.session.onAge(() => this.end(OK));
    if (this.#state === 'opening') stream.receive(this);
  }

  /** What the agent serves through this tunnel. */
  get methods(): Methods {
    return this.#methods;
  }

  /** Opens the one call. To be called on an idle tunnel. Nothing leaves before the first write or half-close. */
  open(method: string, sink: CallSink): Call {
    this.#state = 'busy';
    this.#stopWaitingForAge();
    this.#sink = sink;
    this.#method = method;
    this.#stream.session.streamBusy();
    return this;
  }

  /** Ends a tunnel that carries no call; with OK the agent reconnects at once. A busy one goes on. */
  end(status: GrpcStatus): void {
    if (this.#state === 'busy' || this.#state === 'done') return;
    this.#finish();
    this.#keeper.lost(this);
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
    const info = this.#method === undefined ? undefined : requestInfoFrame(this.#method);
    const infoBytes = info?.length ?? 0;
    const frames = Buffer.allocUnsafe(infoBytes + this.#queueBytes + (this.#closeSend ? CLOSE_SEND_FRAME.length : 0));
    info?.copy(frames);
    let at = infoBytes;
    for (const message of this.#queue) at = writeMessageFrame(frames, at, message);
    if (this.#closeSend) CLOSE_SEND_FRAME.copy(frames, at);
    return this.#stream.writeFrames(frames);
  }

  /** Compressed messages have prefixes of their own. */
  #sendEach(): boolean {
    const frames: Buffer[] = [];
    if (this.#method !== undefined) frames.push(requestInfoFrame(this.#method));
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
    this.#received = field;
    this.#state = 'idle';
    this.#keeper.add(this);
  }

  requestsDone(): void {
    if (this.#state === 'opening') {
      this.#fail({ code: StatusCode.Unknown, message: 'EOF' });
      return;
    }
    if (this.#state === 'idle') {
      // It cannot answer any more, so it is of no use; agents do not do this, and the stream is theirs to close.
      this.#keeper.lost(this);
      return;
    }
    const refusal = agentMessages.refuse(this.#received, END_OF_STREAM);
    if (refusal !== undefined) {
      this.#fail({ code: StatusCode.InvalidArgument, message: refusal });
      return;
    }
    this.#finish();
    this.#stream.end(OK);
    this.#sink?.end(this.#outcome);
  }

  cancelled(): void {
    this.#lose({ code: StatusCode.Unavailable, message: 'the connection to the agent was lost' });
  }

  #read(payload: Buffer): void {
    // A oneof sent twice counts the last time; one field that fills the message is what everybody sends.
    let field = 0;
    let start = 0;
    let end = 0;
    wire.reset(payload, 0, payload.length);
    while (wire.next()) {
      if (wire.wireType !== 2 || wire.field > FromAgent.error) continue; // unknown fields are for newer servers
      field = wire.field;
      start = wire.valueStart;
      end = wire.valueEnd;
    }
    if (field === 0) throw new AppError(StatusCode.InvalidArgument, 'invalid ConnectRequest.Msg: value is required');
    if (this.#state === 'opening') {
      this.#describe(field, payload.subarray(start, end));
      return;
    }
    const refusal = agentMessages.refuse(this.#received, field);
    if (refusal !== undefined) throw new AppError(StatusCode.InvalidArgument, refusal);
    const sink = this.#sink;
    if (sink === undefined)
      throw new AppError(StatusCode.InvalidArgument, `unexpected field number received: ${field}`);
    this.#received = field;
    switch (field) {
      case FromAgent.message:
        sink.message(dataOf(payload, start, end));
        break;
      case FromAgent.header:
        sink.header?.(decodeMetadata(payload.subarray(start, end)));
        break;
      case FromAgent.trailer:
        sink.trailer?.(decodeMetadata(payload.subarray(start, end)));
        break;
      case FromAgent.error:
        this.#outcome = decodeError(payload.subarray(start, end));
        break;
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
    else if (was === 'busy') this.#sink?.end(status);
  }

  #finish(): void {
    if (this.#state === 'busy') this.#stream.session.streamIdle();
    else this.#stopWaitingForAge();
    this.#state = 'done';
    this.#queue.length = 0;
  }
}

/** The payload in Message{data}. */
function dataOf(message: Buffer, start: number, end: number): Buffer {
  wire.reset(message, start, end);
  let data = message.subarray(end, end);
  while (wire.next()) if (wire.field === 1 && wire.wireType === 2) data = wire.value();
  return data;
}
