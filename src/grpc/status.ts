import { AppError } from '../runtime/app_error.ts';
import { StatusCode, statusCodeName } from '../runtime/status_code.ts';

/** How an RPC ended. */
export interface GrpcStatus {
  readonly code: StatusCode;
  readonly message: string;
  /** A serialized google.rpc.Status, as in `grpc-status-details-bin`; absent when there are no details. */
  readonly details?: Uint8Array;
}

export const OK: GrpcStatus = { code: StatusCode.OK, message: '' };

/** Refused at once because too many wait already. This very object, so that HTTP can say 503 and not that the agent failed. */
export const OVERLOADED: GrpcStatus = {
  code: StatusCode.ResourceExhausted,
  message: 'too many requests wait for a connection of this agent, try again later',
};

/** `rpc error: code = Unavailable desc = …`, the text that Go programs show for a status (docs/protocol/http_over_grpc.md). */
export function statusText(status: GrpcStatus): string {
  return `rpc error: code = ${statusCodeName(status.code)} desc = ${status.message}`;
}

/** What a caller may see of something thrown: an AppError as it is, anything else as Internal without its text. */
export function statusOf(error: unknown): GrpcStatus {
  if (error instanceof AppError) return { code: error.code, message: error.message };
  return { code: StatusCode.Internal, message: 'internal error' };
}

/** How a path is answered that no method has. `services`: the full names of those that are there. */
export function unknownMethod(path: string, services: ReadonlySet<string>): GrpcStatus {
  const slash = path.lastIndexOf('/');
  if (slash <= 0) return { code: StatusCode.Unimplemented, message: `malformed method name: "${path}"` };
  const service = path.slice(1, slash);
  const message = services.has(service)
    ? `unknown method ${path.slice(slash + 1)} for service ${service}`
    : `unknown service ${service}`;
  return { code: StatusCode.Unimplemented, message };
}
