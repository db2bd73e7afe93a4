import type { Call, CallSink } from '../grpc/call.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { type GrpcStatus, statusText } from '../grpc/status.ts';
import type { Span } from '../observability/tracer.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** A call whose span ends when it does. Stands between its two sides, so it is made for traced calls only. */
export class TracedCall implements Call, CallSink {
  readonly #span: Span;
  readonly #sink: CallSink;
  readonly #call: Call;
  #ended = false;
  readonly header?: (metadata: Metadata) => void;
  readonly trailer?: (metadata: Metadata) => void;

  /** @param open opens the call itself, with the sink given */
  constructor(span: Span, sink: CallSink, open: (sink: CallSink) => Call) {
    this.#span = span;
    this.#sink = sink;
    if (sink.header !== undefined) this.header = (metadata) => sink.header?.(metadata);
    if (sink.trailer !== undefined) this.trailer = (metadata) => sink.trailer?.(metadata);
    this.#call = open(this);
  }

  write(message: Uint8Array, more?: boolean): boolean {
    return this.#call.write(message, more);
  }

  onDrain(f: () => void): void {
    this.#call.onDrain(f);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  halfClose(): void {
    this.#call.halfClose();
  }

  cancel(status: GrpcStatus): void {
    this.#endSpan(status);
    this.#call.cancel(status);
  }

  message(payload: Buffer): void {
    this.#sink.message(payload);
  }

  end(status: GrpcStatus): void {
    this.#endSpan(status);
    this.#sink.end(status);
  }

  #endSpan(status: GrpcStatus): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#span.set({ 'rpc.grpc.status_code': status.code });
    this.#span.end(status.code === StatusCode.OK ? undefined : statusText(status));
  }
}
