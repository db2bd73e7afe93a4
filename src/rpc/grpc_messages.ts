import { Code, ConnectError } from '@connectrpc/connect';
import { frameOf } from '../grpc/frame.ts';
import { type MessageHandler, type MessageLimit, MessageReader } from '../grpc/message_reader.ts';
import type { GrpcStatus } from '../grpc/status.ts';

/**
 * The body of a request for the library, in gRPC, gRPC-Web or the streams of Connect, which all have the same frames: what is no
 * message, is too large or cannot be inflated is found here, by what reads the messages on the other ports, and is said and
 * counted as there. The library gets messages that are not compressed, one at a time: a small piece of a body may inflate to a lot.
 */
export class GrpcMessages implements AsyncIterableIterator<Uint8Array>, MessageHandler {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #reader: MessageReader;
  #frame: Buffer | undefined;
  #failure: ConnectError | undefined;

  constructor(source: AsyncIterator<Uint8Array>, limit: MessageLimit, compressed: boolean) {
    this.#source = source;
    this.#reader = new MessageReader(this, limit, compressed);
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      this.#reader.resume();
      const frame = this.#frame;
      if (frame !== undefined) {
        this.#frame = undefined;
        return { done: false, value: frame };
      }
      if (this.#failure !== undefined) throw this.#failure;
      const { done, value } = await this.#source.next();
      if (done === true) {
        if (this.#reader.hasRest) throw new ConnectError('unexpected EOF', Code.Internal);
        return { done: true, value: undefined };
      }
      this.#reader.pause(); // so that nothing comes but above
      this.#reader.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  messageRead(payload: Buffer): void {
    this.#reader.pause();
    this.#frame = frameOf(payload);
  }

  readFailed({ code, message }: GrpcStatus): void {
    this.#failure = new ConnectError(message, code as number as Code);
  }
}
