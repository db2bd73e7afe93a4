import type { CallOutcome } from '../grpc/client_call.ts';
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

  constructor(status: GrpcStatus, more: { readonly asked?: boolean; readonly unavailable?: boolean } = {}) {
    super(status.message);
    this.status = status;
    this.asked = more.asked ?? false;
    this.unavailable = more.unavailable ?? false;
  }
}

/** The failure in how a call ended; undefined if it went well. */
export function failureOf(outcome: CallOutcome): CallFailure | undefined {
  if (outcome.kind === 'enough') return undefined;
  if (outcome.kind === 'broken') {
    const message = `error reading from server: ${outcome.reason}`;
    return new CallFailure({ code: StatusCode.Unavailable, message }, { asked: true, unavailable: true });
  }
  const { status } = outcome;
  if (status.code === StatusCode.OK) return undefined;
  const code = statusCodeName(status.code).startsWith('Code(') ? StatusCode.Unknown : status.code;
  return new CallFailure({ ...status, code }, { asked: true, unavailable: code === StatusCode.Unavailable });
}
