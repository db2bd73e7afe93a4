import type { Event } from '@sentry/core';
import { toJson } from '../json.ts';
import type { Fields } from '../log.ts';
import { scrub } from './scrub.ts';

/** Where an event comes from. */
export interface EventOrigin {
  readonly release: string;
  readonly environment: string;
  readonly serverName: string;
}

/** Fields that stand elsewhere in an event. */
const PLACED = new Set(['error', 'agent_id', 'trace_id', 'grpc_service', 'grpc_method', 'stack']);

/** What Sentry gets for a line at error (docs/protocol/sentry.md). */
export function sentryEvent(message: string, fields: Fields, origin: EventOrigin, timestampS: number): Event {
  const { error, agent_id: agentId, trace_id: traceId, grpc_service: service, grpc_method: method } = fields;
  const value = error === undefined ? message : `${message}: ${textOf(error)}`;
  const tags = Object.entries({
    trace_id: traceId,
    trace_sampled: traceId === undefined ? undefined : 'true',
    'grpc.service': service,
    'grpc.method': method,
  }).filter(([, tag]) => tag !== undefined);
  const extra = Object.entries(fields).filter(([name, field]) => !PLACED.has(name) && field !== undefined);
  return {
    level: 'error',
    platform: 'node',
    timestamp: timestampS,
    release: origin.release,
    ...(origin.environment !== '' && { environment: origin.environment }),
    server_name: origin.serverName,
    ...(service !== undefined && method !== undefined && { transaction: `${service}::${method}` }),
    exception: { values: [{ type: 'Error', value: scrub(value) }] },
    // Texts differ by agent and path; what happened does not.
    fingerprint: [message, String(service ?? ''), String(method ?? '')],
    ...(agentId !== undefined && { user: { id: String(agentId) } }),
    tags: Object.fromEntries(tags.map(([name, tag]) => [name, String(tag)])),
    extra: Object.fromEntries(extra.map(([name, field]) => [name, scrub(textOf(field))])),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : toJson(value).replace(/^"(.*)"$/, '$1');
}
