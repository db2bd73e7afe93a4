import type { ConnectError } from '@connectrpc/connect';
import type { GrpcStatus } from '../grpc/status.ts';
import { StatusCode, statusCodeName } from '../runtime/status_code.ts';

/** How a call failed. */
export class CallFailure extends Error {
  override readonly name = 'CallFailure';
  readonly status: GrpcStatus;
  /** True if Gitaly had the call when it failed. */
  readonly asked: boolean;
  /** True if Gitaly could not be reached or says that it is not ready: it may be back in a moment. */
  readonly unavailable: boolean;
  /** For the details of Gitaly's status. */
  readonly error: ConnectError | undefined;

  constructor(
    status: GrpcStatus,
    more: { readonly asked?: boolean; readonly unavailable?: boolean; readonly error?: ConnectError } = {},
  ) {
    super(status.message);
    this.status = status;
    this.asked = more.asked ?? false;
    this.unavailable = more.unavailable ?? false;
    this.error = more.error;
  }
}

/** What the library throws for a call that was made, and that its caller did not cancel. */
export function failureOf(error: ConnectError): CallFailure {
  const message = error.rawMessage;
  // Connect's numbers are gRPC's. What has a cause was not said by Gitaly: the connection broke, or its stream was reset.
  const said = known(error.code);
  const broken = (error.cause instanceof Error && isNodeError(error.cause)) || said === StatusCode.Canceled;
  const code = broken ? StatusCode.Unavailable : said;
  return new CallFailure(
    { code, message: broken ? `error reading from server: ${message}` : message },
    { asked: true, unavailable: code === StatusCode.Unavailable, error },
  );
}

function isNodeError(cause: Error): boolean {
  return typeof (cause as NodeJS.ErrnoException).code === 'string';
}

function known(code: number): StatusCode {
  return statusCodeName(code).startsWith('Code(') ? StatusCode.Unknown : (code as StatusCode);
}
