import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/**
 * GitLab answered, with a status that the call does not accept. What the caller makes of it depends on the status:
 * 401, 403 and 404 say something about the credential, anything else about GitLab.
 */
export class GitLabError extends AppError {
  readonly status: number;
  /** The path asked for, without query; empty if it is not known. */
  readonly path: string;
  /** GitLab's own words, for the calls that read them; otherwise empty. */
  readonly reason: string;

  constructor(status: number, path: string, reason = '') {
    super(
      codeOf(status),
      `HTTP status code: ${status} for path ${path || '<unknown>'}${reason && ` with reason ${reason}`}`,
    );
    this.name = 'GitLabError';
    this.status = status;
    this.path = path;
    this.reason = reason;
  }
}

function codeOf(status: number): StatusCode {
  if (status === 401) return StatusCode.Unauthenticated;
  if (status === 403) return StatusCode.PermissionDenied;
  if (status === 404) return StatusCode.NotFound;
  return StatusCode.Unavailable;
}
