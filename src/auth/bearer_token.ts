import type { Metadata } from '../grpc/metadata.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/**
 * The token of `authorization: Bearer <token>`; the scheme's case does not matter, of several values the first counts.
 * Throws AppError Unauthenticated with the texts that agents and Rails know (docs/protocol/authentication.md).
 */
export function bearerToken(metadata: Metadata): string {
  const value = metadata.get('authorization')?.[0];
  if (value === undefined) throw notBearer();
  const space = value.indexOf(' ');
  if (space < 0) throw new AppError(StatusCode.Unauthenticated, 'Bad authorization string');
  if (value.slice(0, space).toLowerCase() !== 'bearer') throw notBearer();
  return value.slice(space + 1);
}

function notBearer(): AppError {
  return new AppError(StatusCode.Unauthenticated, 'Request unauthenticated with bearer');
}
