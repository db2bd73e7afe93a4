import { Code, ConnectError, type Interceptor } from '@connectrpc/connect';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import { callTrail } from './traced_calls.ts';

/**
 * Decides what callers see of what handlers throw: an AppError as it is, anything else as Internal, without its text, which
 * goes to the log. A unary call whose deadline has passed, or whose client has gone, ends then, whatever its handler does; a
 * stream, when its handler sees the signal: with the deadline as its outcome.
 */
export function createErrorInterceptor(log: Log): Interceptor {
  return (next) => async (request) => {
    const seen = (error: unknown) =>
      visibleError(error, () => {
        const method = `/${request.service.typeName}/${request.method.name}`;
        log.error(`Unknown gRPC error in "${method}"`, {
          error: errorText(error),
          hint: Hint.defect,
          ...callTrail(request.contextValues),
        });
      });
    try {
      const response = request.stream ? await next(request) : await unlessAborted(request.signal, next(request));
      if (!response.stream) return response;
      return { ...response, message: withErrorsOf(inTime(request.signal, response.message), seen) };
    } catch (error) {
      throw seen(error);
    }
  };
}

/** What a caller may see of something thrown. `onDefect` hears of what is no expected outcome. */
export function visibleError(error: unknown, onDefect: () => void): ConnectError {
  if (error instanceof AppError) return new ConnectError(error.message, error.code as number as Code);
  if (error instanceof ConnectError) return error;
  onDefect();
  return new ConnectError('internal error', Code.Internal);
}

async function* withErrorsOf<T>(messages: AsyncIterable<T>, seen: (error: unknown) => ConnectError): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw seen(error);
  }
}

async function* inTime<T>(signal: AbortSignal, messages: AsyncIterable<T>): AsyncIterable<T> {
  yield* messages;
  if (isLate(signal.reason)) throw abortError(signal.reason);
}

function unlessAborted<T>(signal: AbortSignal, outcome: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(abortError(signal.reason));
    signal.addEventListener('abort', giveUp, { once: true });
    outcome.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
    if (signal.aborted) giveUp();
  });
}

/** The texts that gRPC servers in Go have for these. */
function abortError(reason: unknown): ConnectError {
  return isLate(reason)
    ? new ConnectError('context deadline exceeded', Code.DeadlineExceeded)
    : new ConnectError('context canceled', Code.Canceled);
}

function isLate(reason: unknown): boolean {
  return reason instanceof ConnectError && reason.code === Code.DeadlineExceeded;
}
