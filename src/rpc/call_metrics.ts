import { ConnectError, createContextKey, type Interceptor } from '@connectrpc/connect';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { MethodMetrics } from '../observability/grpc_metrics.ts';
import type { Sample } from '../observability/hot_metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** One call while it is counted. */
export class CallRecord {
  readonly metrics: MethodMetrics;
  /** How the handler has failed. */
  failure: StatusCode | undefined;
  readonly #clock: Clock;
  readonly #startedMs: number;

  constructor(metrics: MethodMetrics, clock: Clock) {
    this.metrics = metrics;
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    metrics.started();
  }

  /** The answer is out, or cannot be brought out any more. */
  ended(response: UniversalServerResponse | undefined, gone: boolean): void {
    const code = this.failure ?? statusOf(response) ?? (gone ? StatusCode.Canceled : StatusCode.OK);
    this.metrics.ended(code, this.#clock.monotonicMs() - this.#startedMs);
  }
}

/** The record of the call that a handler serves. */
export const callRecord = createContextKey<CallRecord | undefined>(undefined, {
  description: 'where the call is counted',
});

/** Counts messages, and notes how calls fail. To be the first of the interceptors: it sees what clients see. */
export const countMessages: Interceptor = (next) => async (request) => {
  const record = request.contextValues.get(callRecord);
  if (record === undefined) return await next(request);
  const { received, sent } = record.metrics;
  const failed = (error: unknown) => {
    record.failure = ConnectError.from(error).code as number as StatusCode;
  };
  if (!request.stream) received.inc();
  const counted = request.stream ? { ...request, message: countedIn(received, request.message, failed) } : request;
  try {
    const response = await next(counted);
    if (response.stream) return { ...response, message: countedIn(sent, response.message, failed) };
    sent.inc();
    return response;
  } catch (error) {
    failed(error);
    throw error;
  }
};

async function* countedIn<T>(
  sample: Sample,
  messages: AsyncIterable<T>,
  failed: (error: unknown) => void,
): AsyncIterable<T> {
  try {
    for await (const message of messages) {
      sample.inc();
      yield message;
    }
  } catch (error) {
    failed(error);
    throw error;
  }
}

/** What the library has decided before a handler was asked, as far as the answer says it. */
function statusOf(response: UniversalServerResponse | undefined): StatusCode | undefined {
  const code = response?.trailer?.get('grpc-status') ?? response?.header?.get('grpc-status');
  if (code !== undefined && code !== null) return Number(code) as StatusCode;
  return response === undefined || response.status >= 400 ? StatusCode.Unknown : undefined;
}
