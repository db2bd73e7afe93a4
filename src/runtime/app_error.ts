import type { StatusCode } from './status_code.ts';

/**
 * An error whose message may be shown to whoever caused it. Only the edges translate it: to a gRPC status, a Kubernetes
 * Status, an exit status. Anything else that is thrown is a defect and becomes Internal there.
 */
export class AppError extends Error {
  readonly code: StatusCode;
  /** What the reader can do about it; shown to administrators (log, console), not to callers. */
  readonly hint: string | undefined;

  constructor(code: StatusCode, message: string, more: { hint?: string; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'AppError';
    this.code = code;
    this.hint = more.hint;
  }
}

/** The text of anything that was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
