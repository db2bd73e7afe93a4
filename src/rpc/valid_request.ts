import type { Violations } from '../gitlab/validation.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** @throws AppError InvalidArgument, which names each field that is wrong, if any is */
export function requireValid(violations: Violations): void {
  if (violations.length > 0) throw new AppError(StatusCode.InvalidArgument, violations.join('; '));
}
