import type { IncomingHttpHeaders } from 'node:http2';
import { createContextKey } from '@connectrpc/connect';
import {
  CORRELATION_METADATA,
  newCorrelationId,
  REQUEST_ID_HEADER,
  validCorrelationId,
} from '../observability/correlation_id.ts';

/** For handlers: what the log lines about their call are found by (docs/protocol/logs.md). */
export const correlationId = createContextKey<() => string>(newCorrelationId, { description: 'correlation id' });

/** The id that the client gave, or one that is made when it is first asked for. */
export function correlationOf(headers: IncomingHttpHeaders): () => string {
  const given = headers[CORRELATION_METADATA] ?? headers[REQUEST_ID_HEADER];
  let id = validCorrelationId(Array.isArray(given) ? given[0] : given);
  return () => {
    id ??= newCorrelationId();
    return id;
  };
}
