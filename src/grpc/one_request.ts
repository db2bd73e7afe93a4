import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { ServerCall } from './server_call.ts';
import { OK } from './status.ts';

/**
 * Reads the single request of a unary or server-streaming call.
 * @returns undefined if the client gave up
 * @throws AppError Internal if there is no request, or more than one, or it cannot be decoded
 */
export function oneRequest<T extends DescMessage>(call: ServerCall, schema: T): Promise<MessageShape<T> | undefined> {
  return new Promise<MessageShape<T> | undefined>((resolve, reject) => {
    let request: Buffer | undefined;
    call.receive({
      request(payload) {
        if (request === undefined) request = payload;
        else reject(new AppError(StatusCode.Internal, 'grpc: received more than one request message'));
      },
      requestsDone() {
        if (request === undefined) reject(new AppError(StatusCode.Internal, 'grpc: received no request message'));
        else resolve(decode(schema, request));
      },
      cancelled: () => resolve(undefined),
    });
  });
}

/** Answers a unary call. */
export function respond<T extends DescMessage>(call: ServerCall, schema: T, message: MessageShape<T>): void {
  call.write(toBinary(schema, message));
  call.end(OK);
}

function decode<T extends DescMessage>(schema: T, request: Buffer): Promise<MessageShape<T>> {
  try {
    return Promise.resolve(fromBinary(schema, request));
  } catch {
    const message = 'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data';
    return Promise.reject(new AppError(StatusCode.Internal, message));
  }
}
