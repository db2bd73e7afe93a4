import type { IncomingMessage } from 'node:http';
import type { Call } from '../grpc/call.ts';
import type { ExchangeCounts } from './http_exchange.ts';
import { encodeData, HttpPart } from './http_wire.ts';

/** The largest piece of a body that one message carries (docs/protocol/http_over_grpc.md, chunks). */
export const CHUNK_BYTES = 32 << 10;
/** Of a request body that nobody wants any more, so much is read and dropped before the connection is closed. */
const DISCARD_BYTES = 1 << 20;

/** Sends the body of a client's request into a call, as fast as the agent takes it. */
export class RequestBody {
  readonly #request: IncomingMessage;
  readonly #call: Call;
  readonly #counts: ExchangeCounts | undefined;
  #scheduled = false;
  #agentIsSlow = false;
  #callOver = false;
  #discarded = 0;

  /** @param told `sent`: the body is complete; `brokenOff`: the client has gone before that */
  constructor(
    request: IncomingMessage,
    call: Call,
    counts: ExchangeCounts | undefined,
    told: { sent(): void; brokenOff(): void },
  ) {
    this.#request = request;
    this.#call = call;
    this.#counts = counts;
    call.onDrain(() => {
      this.#agentIsSlow = false;
      this.#pump();
    });
    // The parser hands over one chunk after the other. Reading when it is through with a packet joins the small ones.
    request.on('readable', () => {
      if (!this.#scheduled) setImmediate(() => this.#pump());
      this.#scheduled = true;
    });
    request.on('end', told.sent);
    request.on('error', told.brokenOff);
  }

  /** Nobody wants the rest. A client that is answered early may finish sending, if that does not take too much. */
  callOver(): void {
    this.#callOver = true;
    this.#pump();
  }

  #pump(): void {
    this.#scheduled = false;
    while (this.#callOver || !this.#agentIsSlow) {
      const bytes = this.#readArrived();
      if (bytes === null) return;
      if (this.#counts !== undefined) this.#counts.bytesIn += bytes.length;
      if (this.#callOver) this.#discard(bytes);
      else this.#agentIsSlow = !this.#send(bytes);
    }
  }

  #send(bytes: Buffer): boolean {
    let ready = true;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      ready = this.#call.write(encodeData(HttpPart.data, bytes.subarray(at, at + CHUNK_BYTES)));
    }
    return ready;
  }

  #discard(bytes: Buffer): void {
    this.#discarded += bytes.length;
    if (this.#discarded > DISCARD_BYTES) this.#request.destroy();
  }

  /** All that has arrived, in one piece; null: nothing now. `read()` without a size may return less. */
  #readArrived(): Buffer | null {
    return this.#request.read(this.#request.readableLength || undefined) as Buffer | null;
  }
}
