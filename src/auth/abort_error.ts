import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** Why `signal` fired, as a status with the texts that gRPC peers know. */
export function abortError(signal: AbortSignal): AppError {
  const reason: unknown = signal.reason;
  if (reason instanceof AppError) return reason;
  if (reason instanceof Error && reason.name === 'TimeoutError') {
    return new AppError(StatusCode.DeadlineExceeded, 'context deadline exceeded', { cause: reason });
  }
  return new AppError(StatusCode.Canceled, 'context canceled', { cause: reason });
}
