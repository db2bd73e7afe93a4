import type { IncomingHttpHeaders } from 'node:http2';
import type { Call, CallSink, FrameSink } from '../grpc/call.ts';
import { refusalOf, statusOf } from '../grpc/client_call.ts';
import { PREFIX_BYTES, writeFrame } from '../grpc/frame.ts';
import { type MessageHandler, MessageReader } from '../grpc/message_reader.ts';
import { OneofReader } from '../grpc/oneof_reader.ts';
import { MalformedMessage } from '../grpc/protobuf_wire.ts';
import type { GrpcStatus } from '../grpc/status.ts';
import { ErrorCode } from '../http2/error_code.ts';
import type { Stream, StreamSink } from '../http2/stream.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { AgentAnswer, type Answer } from '../tunnel/agent_answer.ts';
import { PassedAnswer } from '../tunnel/passed_answer.ts';

/** Who asks another node for a tunnel. After `ready` or `failed` it hears nothing more of the asking. */
export interface Asker {
  /** The node has no tunnel now, and goes on looking. */
  noTunnel(): void;
  /** The node has a tunnel and holds it: `start` takes it, `cancel` gives it back. */
  ready(): void;
  /** The node cannot be asked, or does not want to be asked any more. */
  failed(status: GrpcStatus): void;
}

/** What a stream needs of the connection it is on. */
export interface PeerLoad {
  /** The node has answered anything at all. */
  answered(): void;
  streamClosed(): void;
  /** A stream begins to carry, or no longer carries, bulk data. */
  streamBusy(): void;
  streamIdle(): void;
}

const TUNNEL_READY = 1;
const NO_TUNNEL = 6;

const gatewayResponse = new OneofReader();
const LOST: GrpcStatus = { code: StatusCode.Unavailable, message: 'the connection to the other node was lost' };

/**
 * One call to another node's private API, which asks for a tunnel there and, once started, is the call through that tunnel
 * (docs/protocol/routing.md, between nodes).
 */
export class PeerStream implements Call, MessageHandler, StreamSink {
  readonly #stream: Stream;
  readonly #load: PeerLoad;
  readonly #reader = new MessageReader(this);
  #asker: Asker | undefined;
  #answer: Answer | undefined;
  #state: 'asking' | 'ready' | 'started' | 'done' = 'asking';
  /** The node has said so; from `no_tunnel` only `tunnel_ready` may follow. */
  #noTunnel = false;
  /** How the stream ended, when the node said so. */
  #status: GrpcStatus | undefined;
  #startDue = true;
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #halfClosed = false;
  #paused = false;
  #whenDrained: (() => void) | undefined;

  /** @param stream opened with the call's headers, nothing sent on it yet */
  constructor(stream: Stream, load: PeerLoad, asker: Asker) {
    this.#stream = stream;
    this.#load = load;
    this.#asker = asker;
    stream.open(this);
    stream.resume();
  }

  /** Takes the tunnel that the node holds. To be called when it is ready. */
  start(sink: CallSink): Call {
    return this.#start(new AgentAnswer(sink));
  }

  /**
   * The same, for somebody who passes the answer on without looking into it.
   * @param gzip whether it may be passed on as it comes, some of it compressed
   */
  startFrames(sink: FrameSink, gzip: boolean): Call {
    return this.#start(new PassedAnswer(sink, gzip ? this.#reader : undefined));
  }

  /** The node holds a tunnel that nobody has taken yet. */
  get held(): boolean {
    return this.#state === 'ready';
  }

  #start(answer: Answer): Call {
    this.#state = 'started';
    this.#answer = answer;
    this.#load.streamBusy();
    return this;
  }

  // ---- Call

  write(message: Uint8Array, more = false): boolean {
    if (this.#state !== 'started' || this.#halfClosed) return true;
    this.#queue.push(message);
    this.#queueBytes += PREFIX_BYTES + message.length;
    return more ? true : this.#stream.write(this.#takeQueue());
  }

  halfClose(): void {
    if (this.#state !== 'started' || this.#halfClosed) return;
    this.#halfClosed = true;
    this.#stream.write(this.#takeQueue());
    this.#stream.end();
  }

  onDrain(f: () => void): void {
    this.#whenDrained = f;
  }

  pause(): void {
    if (this.#state !== 'started') return;
    this.#paused = true;
    this.#reader.pause();
    this.#stream.pause();
  }

  resume(): void {
    if (this.#state !== 'started') return;
    this.#paused = false;
    this.#reader.resume();
    if (this.#paused || this.#state !== 'started') return; // a message that was held back has paused again, or was the last
    this.#stream.resume();
  }

  cancel(): void {
    if (this.#state === 'done') return;
    this.#finish();
    this.#close();
  }

  #takeQueue(): Buffer {
    const startBytes = this.#startDue ? PREFIX_BYTES : 0; // StartStreaming has no content
    const frames = Buffer.allocUnsafe(startBytes + this.#queueBytes);
    frames.fill(0, 0, startBytes);
    let at = startBytes;
    for (const message of this.#queue) at = writeFrame(frames, at, message);
    this.#startDue = false;
    this.#queue.length = 0;
    this.#queueBytes = 0;
    return frames;
  }

  // ---- what the node says

  messageRead(payload: Buffer): void {
    try {
      this.#read(payload);
    } catch (error) {
      if (error instanceof MalformedMessage) {
        this.#giveUp({
          code: StatusCode.Internal,
          message: `grpc: failed to unmarshal the received message: ${error.message}`,
        });
      } else if (error instanceof AppError) this.#giveUp({ code: error.code, message: error.message });
      else throw error;
    }
  }

  readFailed(status: GrpcStatus): void {
    this.#giveUp(status);
  }

  #read(payload: Buffer): void {
    gatewayResponse.read(payload, NO_TUNNEL);
    const { field, start, end } = gatewayResponse;
    if (field === 0) {
      const problem = 'invalid server response: invalid GatewayKasResponse.Msg: value is required';
      throw new AppError(StatusCode.InvalidArgument, problem);
    }
    if (this.#answer !== undefined) this.#answer.take(field, payload, start, end);
    else this.#hear(field);
  }

  #hear(field: number): void {
    const allowed = this.#state === 'ready' ? [] : this.#noTunnel ? [-1, 1] : [-1, 1, 6];
    if (!allowed.includes(field)) {
      const from = this.#state === 'ready' ? 1 : this.#noTunnel ? 6 : -2;
      const problem = `transition from ${from} to ${field} is not allowed. Allowed: [${allowed.join(' ') || '2'}]`;
      throw new AppError(StatusCode.InvalidArgument, problem);
    }
    if (field === TUNNEL_READY) {
      this.#state = 'ready';
      this.#asker?.ready();
    } else {
      this.#noTunnel = true;
      this.#asker?.noTunnel();
    }
  }

  headers(headers: IncomingHttpHeaders): void {
    this.#load.answered();
    const refusal = refusalOf(headers);
    if (refusal !== undefined) this.#giveUp(refusal);
    else this.trailers(headers);
  }

  trailers(headers: IncomingHttpHeaders): void {
    this.#status ??= statusOf(headers);
  }

  data(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  /** Everything the node sends has been read. */
  ended(): void {
    if (this.#status === undefined) {
      this.#over(LOST);
      this.#close();
      return;
    }
    const { code } = this.#status;
    const answer = this.#answer;
    if (this.#reader.hasRest) this.#over({ code: StatusCode.Internal, message: 'unexpected EOF' });
    else if (code !== StatusCode.OK || answer === undefined) this.#over(this.#status);
    else if (answer.refusal !== undefined) this.#over({ code: StatusCode.InvalidArgument, message: answer.refusal });
    else {
      this.#finish();
      answer.end();
    }
    this.#close();
  }

  drained(): void {
    this.#whenDrained?.();
  }

  closed(): void {
    this.#load.streamClosed();
    this.#over(this.#status !== undefined && this.#status.code !== StatusCode.OK ? this.#status : LOST);
  }

  #giveUp(status: GrpcStatus): void {
    this.#over(status);
    this.#close();
  }

  #over(status: GrpcStatus): void {
    if (this.#state === 'done') return;
    const asker = this.#asker;
    const answer = this.#answer;
    this.#finish();
    if (answer !== undefined) answer.fail(status);
    else asker?.failed(status);
  }

  #finish(): void {
    if (this.#state === 'started') this.#load.streamIdle();
    this.#state = 'done';
    this.#asker = undefined;
    this.#queue.length = 0;
    this.#reader.stop();
  }

  /** What the node still sends is of no use, and it must not wait for what we do not send. */
  #close(): void {
    this.#stream.reset(ErrorCode.Cancel);
  }
}
