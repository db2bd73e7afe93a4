import type { Call, CallSink } from '../grpc/call.ts';
import type { GrpcStatus } from '../grpc/status.ts';

/**
 * A call whose tunnel is not there yet. What is written meanwhile waits here, and the writer is told to stop after the
 * first write that would let messages pile up; once connected, everything goes straight on.
 */
export class WaitingCall implements Call {
  readonly #sink: CallSink;
  readonly #stopWaiting: () => void;
  #call: Call | undefined;
  #over = false;
  #queue: Uint8Array[] = [];
  #halfClosed = false;
  #paused = false;
  #writerWaits = false;
  #drain: (() => void) | undefined;

  /** @param stopWaiting called once, when the tunnel is found or nobody needs it any more */
  constructor(sink: CallSink, stopWaiting: () => void) {
    this.#sink = sink;
    this.#stopWaiting = stopWaiting;
  }

  /** The tunnel is there: `call` gets what has been written so far. */
  connect(call: Call): void {
    this.#stopWaiting();
    this.#call = call;
    if (this.#drain !== undefined) call.onDrain(this.#drain);
    if (this.#paused) call.pause();
    const queue = this.#queue;
    this.#queue = [];
    const ready =
      queue.map((message, i) => call.write(message, i < queue.length - 1 || this.#halfClosed)).at(-1) ?? true;
    if (this.#halfClosed) call.halfClose();
    else if (this.#writerWaits && ready) this.#drain?.();
  }

  /** No tunnel came: the call ends with `status`. */
  fail(status: GrpcStatus): void {
    if (this.#over || this.#call !== undefined) return;
    this.#stopWaiting();
    this.#over = true;
    this.#queue = [];
    this.#sink.end(status);
  }

  write(message: Uint8Array, more = false): boolean {
    if (this.#call !== undefined) return this.#call.write(message, more);
    if (this.#over) return true;
    this.#queue.push(message);
    this.#writerWaits = !more;
    return more;
  }

  onDrain(f: () => void): void {
    this.#drain = f;
    this.#call?.onDrain(f);
  }

  pause(): void {
    this.#paused = true;
    this.#call?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#call?.resume();
  }

  halfClose(): void {
    this.#halfClosed = true;
    this.#call?.halfClose();
  }

  cancel(status: GrpcStatus): void {
    if (this.#call !== undefined) {
      this.#call.cancel(status);
      return;
    }
    if (this.#over) return;
    this.#stopWaiting();
    this.#over = true;
    this.#queue = [];
  }
}
