import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/**
 * The token of `Bearer <token>`, the value of `authorization`; the scheme's case does not matter.
 * Throws AppError Unauthenticated with the texts that agents and Rails know (docs/protocol/authentication.md).
 */
export function bearerToken(value: string | undefined): string {
  if (value === undefined || value === '') throw notBearer();
  const space = value.indexOf(' ');
  if (space < 0) throw new AppError(StatusCode.Unauthenticated, 'Bad authorization string');
  if (value.slice(0, space).toLowerCase() !== 'bearer') throw notBearer();
  return value.slice(space + 1);
}

function notBearer(): AppError {
  return new AppError(StatusCode.Unauthenticated, 'Request unauthenticated with bearer');
}
