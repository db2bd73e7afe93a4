import { Code, ConnectError, type ContextValues, createContextKey, type Interceptor } from '@connectrpc/connect';
import type { Fields } from '../observability/log.ts';
import type { Span, Tracer } from '../observability/tracer.ts';
import { trailOf } from '../observability/trail.ts';
import { correlationId } from './correlation.ts';

/** The span of a call, for handlers that call somebody else; undefined without tracing. */
export const requestSpan = createContextKey<Span | undefined>(undefined, { description: 'span of the request' });

/** What all log lines about a call have. */
export function callTrail(values: ContextValues): Fields {
  return trailOf(values.get(requestSpan), values.get(correlationId)());
}

/** Makes a span for each call, which is part of the client's trace if that says so. */
export function createTracingInterceptor(tracer: Tracer): Interceptor {
  return (next) => async (request) => {
    const name = `${request.service.typeName}/${request.method.name}`;
    const continued = request.header.get('traceparent') ?? undefined;
    const span = tracer.start(name, 'server', { continued }, { 'rpc.method': name });
    request.contextValues.set(requestSpan, span);
    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: endingWith(span, response.message) };
      span.end();
      return response;
    } catch (error) {
      throw ended(span, error);
    }
  };
}

async function* endingWith<T>(span: Span, messages: AsyncIterable<T>): AsyncIterable<T> {
  let outcome: string | undefined = 'the client has gone';
  try {
    yield* messages;
    outcome = undefined;
  } catch (error) {
    outcome = ConnectError.from(error).message;
    throw error;
  } finally {
    span.end(outcome);
  }
}

function ended(span: Span, error: unknown): unknown {
  const { message, code } = ConnectError.from(error);
  span.set({ 'rpc.grpc.status_code': code });
  span.end(code === Code.Canceled ? 'the client has gone' : message);
  return error;
}
