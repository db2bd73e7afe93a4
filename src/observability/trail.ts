import type { Fields } from './log.ts';
import type { Span } from './tracer.ts';

/** What all log lines about one request have: by this they are found, on every node (docs/protocol/logs.md, correlation). */
export function trailOf(span: Span | undefined, correlationId: string | undefined): Fields {
  return { ...(span && { trace_id: span.traceId }), correlation_id: correlationId };
}
