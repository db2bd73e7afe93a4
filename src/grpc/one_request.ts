import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { RequestSink, ServerCall } from './server_call.ts';
import { OK } from './status.ts';

/**
 * Reads the single request of a unary or server-streaming call.
 * @returns undefined if the client gave up
 * @throws AppError Internal if there is no request, or more than one, or it cannot be decoded
 */
export function oneRequest<T extends DescMessage>(call: ServerCall, schema: T): Promise<MessageShape<T> | undefined> {
  return new Promise<Buffer | undefined>((resolve, reject) => {
    call.expectKept(true);
    call.receive(new OneRequest(resolve, reject));
  }).then((payload) => payload && decode(schema, payload));
}

/** Answers a unary call. */
export function respond<T extends DescMessage>(call: ServerCall, schema: T, message: MessageShape<T>): void {
  call.write(toBinary(schema, message));
  call.end(OK);
}

/** Lets go of the request once it is handed over: the call may go on for half an hour. */
class OneRequest implements RequestSink {
  #resolve: ((payload: Buffer | undefined) => void) | undefined;
  #reject: ((error: AppError) => void) | undefined;
  #payload: Buffer | undefined;

  constructor(resolve: (payload: Buffer | undefined) => void, reject: (error: AppError) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
  }

  request(payload: Buffer): void {
    if (this.#payload === undefined) this.#payload = payload;
    else this.#refuse('grpc: received more than one request message');
  }

  requestsDone(): void {
    if (this.#payload === undefined) this.#refuse('grpc: received no request message');
    else this.#settle(this.#payload);
  }

  cancelled(): void {
    this.#settle(undefined);
  }

  #settle(payload: Buffer | undefined): void {
    this.#resolve?.(payload);
    this.#letGo();
  }

  #refuse(message: string): void {
    this.#reject?.(new AppError(StatusCode.Internal, message));
    this.#letGo();
  }

  #letGo(): void {
    this.#resolve = undefined;
    this.#reject = undefined;
    this.#payload = undefined;
  }
}

function decode<T extends DescMessage>(schema: T, payload: Buffer): MessageShape<T> {
  try {
    return fromBinary(schema, payload);
  } catch {
    throw new AppError(
      StatusCode.Internal,
      'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
    );
  }
}
