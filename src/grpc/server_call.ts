import type { IncomingHttpHeaders } from 'node:http2';
import { gzipSync, constants as zlib } from 'node:zlib';
import type { Headers, Stream, StreamSink } from '../http2/stream.ts';
import {
  CORRELATION_METADATA,
  newCorrelationId,
  REQUEST_ID_HEADER,
  validCorrelationId,
} from '../observability/correlation_id.ts';
import type { MethodMetrics } from '../observability/grpc_metrics.ts';
import type { Fields } from '../observability/log.ts';
import type { RequestContext, Span } from '../observability/tracer.ts';
import { trailOf } from '../observability/trail.ts';
import type { Timer } from '../runtime/clock.ts';
import type { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { frameOf } from './frame.ts';
import { type MessageHandler, type MessageLimit, MessageReader } from './message_reader.ts';
import { type GrpcStatus, statusText } from './status.ts';
import { parseGrpcTimeout, statusTrailers } from './status_wire.ts';

/** What a call needs to know of the HTTP/2 connection it came on. */
export interface CallSession {
  readonly scope: Scope;
  readonly remoteAddress: string;
  /** Calls `f` when the connection has reached its age, or the server leaves: time to end long-lived calls with OK. */
  onAge(f: () => void): () => void;
  /** A stream begins to carry, or no longer carries, bulk data: the session's windows follow. */
  streamBusy(): void;
  streamIdle(): void;
  /** Whether somebody is known on the connection; those without may not stay for long. */
  readonly known: boolean;
  /** A credential was shown; `plea` says whether it is still being looked at. */
  show(plea: () => boolean): void;
  prove(): void;
}

/** What all calls of a server have in common. */
export interface CallServer {
  onDefect(call: ServerCall, error: unknown): void;
  readonly messages: MessageLimit;
  /** For those that are kept as long as their call runs: by whether somebody is known on the connection. */
  readonly requests: { readonly known: MessageLimit; readonly stranger: MessageLimit };
}

/** Who reads a call's requests. */
export interface RequestSink {
  /** One message's payload. It may be kept, but is a view that keeps a larger buffer alive. */
  request(payload: Buffer): void;
  /** The client sends nothing more. */
  requestsDone(): void;
  /** The client, its connection or its deadline is gone: nobody hears an answer any more. Nothing comes after it. */
  cancelled(): void;
}

/** What a call uses of its stream. */
export type CallStream = Pick<Stream, 'open' | 'sendHeaders' | 'write' | 'end' | 'pause' | 'resume' | 'closed'>;

const DEADLINE_PASSED: GrpcStatus = { code: StatusCode.DeadlineExceeded, message: 'context deadline exceeded' };

/**
 * One RPC that a client has opened with us, on a bare HTTP/2 stream: bytes in, bytes out. Response headers leave with the
 * first message, never earlier, and an answer without messages is a single HEADERS frame (docs/protocol/grpc.md).
 */
export class ServerCall implements MessageHandler, StreamSink {
  readonly path: string;
  readonly session: CallSession;
  /** True if messages to the client are compressed. */
  readonly compress: boolean;
  /** True if the client's messages may be compressed. */
  readonly clientCompresses: boolean;
  /** Says in the answer's headers that its messages may be compressed, though `write` does not compress them. */
  passesCompressed = false;
  /** What is done for this call is part of it, and it ends with the call; undefined without tracing. */
  span: Span | undefined;
  /** How the call ends at its deadline; to a stream without an end of its own that may be as good as any. */
  deadlineStatus = DEADLINE_PASSED;
  readonly #stream: CallStream;
  /** Let go once reading has begun: most calls then wait for half an hour. */
  #headers: IncomingHttpHeaders | undefined;
  #correlationId: string | undefined;
  #rawHeaders: readonly string[] | undefined;
  #metrics: MethodMetrics | undefined;
  /** When counting began. */
  #startedMs = 0;
  readonly #contentType: string;
  readonly #reader: MessageReader;
  readonly #server: CallServer;
  #sink: RequestSink | undefined;
  #deadline: Timer | undefined;
  #responded = false;
  /** Set once the outcome is decided, by us or by the client. */
  #over = false;
  #whenDrained: (() => void) | undefined;
  #whenOver: (() => void) | undefined;
  /** The client's end was seen, but the sink has not been told. */
  #halfCloseDue = false;
  #paused = false;

  constructor(
    stream: CallStream,
    headers: IncomingHttpHeaders,
    session: CallSession,
    path: string,
    compress: boolean,
    server: CallServer,
    rawHeaders: readonly string[] = [],
  ) {
    this.#stream = stream;
    this.#headers = headers;
    this.#rawHeaders = rawHeaders;
    this.clientCompresses = headers['grpc-encoding'] === 'gzip';
    this.#contentType = headers['content-type'] ?? 'application/grpc';
    this.session = session;
    this.path = path;
    this.compress = compress;
    this.#server = server;
    this.#reader = new MessageReader(this, server.messages, this.clientCompresses);
    stream.open(this);
  }

  /** The first value of a metadata key, as text. To be asked before `receive`. */
  metadata(key: string): string | undefined {
    const value = this.#headers?.[key];
    return Array.isArray(value) ? value[0] : value;
  }

  /** What the log lines about this call are found by: the client's id, or one that is made when it is first asked for. */
  correlationId(): string {
    this.#correlationId ??= this.#givenCorrelationId() ?? newCorrelationId();
    return this.#correlationId;
  }

  #givenCorrelationId(): string | undefined {
    return validCorrelationId(this.metadata(CORRELATION_METADATA) ?? this.metadata(REQUEST_ID_HEADER));
  }

  /** All values of a metadata key, in order. To be asked before `receive`. */
  metadataValues(key: string): string[] {
    const values: string[] = [];
    const raw = this.#rawHeaders ?? [];
    for (let i = 0; i < raw.length; i += 2) if (raw[i] === key) values.push(raw[i + 1]!);
    return values;
  }

  /** Whether all metadata, HTTP/2's own headers included, is of these keys. To be asked before `receive`. */
  hasOnlyMetadata(keys: ReadonlySet<string>): boolean {
    const raw = this.#rawHeaders ?? [];
    for (let i = 0; i < raw.length; i += 2) if (!keys.has(raw[i]!)) return false;
    return true;
  }

  /** The keys of all metadata, HTTP/2's own headers included. To be asked before `receive`. */
  metadataKeys(): Set<string> {
    return new Set((this.#rawHeaders ?? []).filter((_, i) => i % 2 === 0));
  }

  /** Counts the call, its messages and its end. */
  countIn(metrics: MethodMetrics): void {
    this.#metrics = metrics;
    this.#startedMs = this.session.scope.clock.monotonicMs();
    metrics.started();
  }

  /** What all log lines about this call have. */
  trail(): Fields {
    return trailOf(this.span, this.correlationId());
  }

  /** How somebody else is asked for the sake of this call. */
  onBehalf(signal: AbortSignal): RequestContext & { readonly signal: AbortSignal; readonly correlationId: string } {
    return { signal, correlationId: this.correlationId(), span: this.span };
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whether the next messages are kept for as long as the call runs, or longer: they have to be small then. */
  expectKept(kept: boolean): void {
    const { known, stranger } = this.#server.requests;
    this.#reader.smallerLimit = kept ? (this.session.known ? known : stranger) : undefined;
  }

  /** Starts reading; to be called once. If the client is gone by then, the sink hears so at once. */
  receive(sink: RequestSink): void {
    const stream = this.#stream;
    if (stream.closed) this.closed();
    if (this.#over) {
      sink.cancelled();
      return;
    }
    this.#sink = sink;
    const timeoutMs = parseGrpcTimeout(this.metadata('grpc-timeout'));
    if (timeoutMs !== undefined) this.#deadline = this.session.scope.timeout(timeoutMs, () => this.#deadlinePassed());
    this.#correlationId ??= this.#givenCorrelationId();
    this.#headers = undefined;
    this.#rawHeaders = undefined;
    if (!this.#paused) stream.resume();
  }

  // ---- for the stream

  data(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#fail(error);
    }
  }

  ended(): void {
    this.#halfCloseDue = true;
    try {
      this.#deliverHalfClose();
    } catch (error) {
      this.#fail(error);
    }
  }

  drained(): void {
    this.#whenDrained?.();
  }

  closed(): void {
    if (this.#over) return;
    this.span?.end('the client has gone');
    this.#finish(StatusCode.Canceled);
    this.#sink?.cancelled();
  }

  /** Whoever reads the call has a defect: it costs this call, not the process. */
  #fail(error: unknown): void {
    this.#server.onDefect(this, error);
    this.#sink?.cancelled();
  }

  messageRead(payload: Buffer): void {
    this.#metrics?.received.inc();
    this.#sink?.request(payload);
  }

  readFailed(status: GrpcStatus): void {
    this.end(status);
    this.#sink?.cancelled();
  }

  /** Calls `f` once when the call is over, whoever ended it; at once if it is. One function, the last one given. */
  onOver(f: () => void): void {
    if (this.#over) f();
    else this.#whenOver = f;
  }

  /** Sends one message. False: wait for `onDrain`. */
  write(payload: Uint8Array): boolean {
    if (!this.compress) return this.writeFrames(frameOf(payload));
    const frame = frameOf(gzipSync(payload, { level: zlib.Z_BEST_SPEED }));
    frame[0] = 1;
    return this.writeFrames(frame);
  }

  /** Sends messages that carry gRPC's prefix already, so many as are to be counted. False: wait for `onDrain`. */
  writeFrames(frames: Buffer, messages = 1): boolean {
    if (this.#over) return true;
    this.#metrics?.sent.add(messages);
    this.#respond();
    return this.#stream.write(frames);
  }

  /** Sends bytes of messages as they come from elsewhere. */
  passFrames(bytes: Buffer): boolean {
    if (this.#over) return true;
    this.#respond();
    return this.#stream.write(bytes);
  }

  /** `f` is called when writing may go on after a write returned false. */
  onDrain(f: () => void): void {
    this.#whenDrained = f;
  }

  /** From the next message on `f` gets what the client sends as it comes: not cut, not measured, not inflated. */
  passThrough(f: (bytes: Buffer) => void): void {
    this.#reader.passThrough(f);
  }

  pause(): void {
    this.#paused = true;
    this.#reader.pause();
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#reader.resume();
    if (this.#paused) return; // a message that was held back has paused again
    this.#stream.resume();
    this.#deliverHalfClose();
  }

  /** Ends the call. The sink hears nothing more. */
  end(status: GrpcStatus): void {
    if (this.#over) return;
    if (this.span !== undefined) endSpan(this.span, status);
    this.#finish(status.code);
    const trailers = statusTrailers(status);
    if (this.#responded) this.#stream.end(trailers);
    else this.#stream.sendHeaders({ ':status': 200, 'content-type': this.#contentType, ...trailers }, true);
  }

  #respond(): void {
    if (this.#responded) return;
    this.#responded = true;
    const headers: Headers & Record<string, string | number> = { ':status': 200, 'content-type': this.#contentType };
    if (this.compress || this.passesCompressed) headers['grpc-encoding'] = 'gzip';
    this.#stream.sendHeaders(headers);
  }

  #deliverHalfClose(): void {
    if (this.#sink === undefined || !this.#halfCloseDue || this.#over || this.#paused) return;
    this.#halfCloseDue = false;
    if (this.#reader.hasRest) {
      this.end({ code: StatusCode.Internal, message: 'unexpected EOF' });
      this.#sink.cancelled();
    } else this.#sink.requestsDone();
  }

  #deadlinePassed(): void {
    if (this.#over) return;
    this.end(this.deadlineStatus);
    this.#sink?.cancelled();
  }

  #finish(code: StatusCode): void {
    this.#over = true;
    this.#metrics?.ended(code, this.session.scope.clock.monotonicMs() - this.#startedMs);
    this.#deadline?.stop();
    this.#reader.stop();
    this.#whenOver?.();
  }
}

function endSpan(span: Span, status: GrpcStatus): void {
  span.set({ 'rpc.grpc.status_code': status.code });
  span.end(status.code === StatusCode.OK ? undefined : statusText(status));
}
