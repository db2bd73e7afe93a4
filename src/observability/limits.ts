import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from './log.ts';
import { NowAndThen } from './now_and_then.ts';

/** What can be too much; the names stand in metrics and log lines. */
export type LimitName =
  | 'connections'
  | 'file_descriptors'
  | 'unauthenticated_connections'
  | 'unauthenticated_time'
  | 'streams_per_connection'
  | 'header_bytes'
  | 'message_bytes'
  | 'request_bytes'
  | 'waiting_requests_per_agent'
  | 'waiting_requests'
  | 'requests_per_user'
  | 'bytes_in_flight';

/** Which listener a limit belongs to; `server` is all of them. */
export type LimitScope = 'agent_api' | 'kubernetes_api' | 'api' | 'private_api' | 'observability' | 'server';

/** Each call says that a limit has bitten once. */
export type LimitHit = () => void;

/** Gives whoever enforces a limit what to call. `key` is the setting that administrators may change, `max` its value. */
export interface Limits {
  hit(name: LimitName, scope: LimitScope, key: string, max: number): LimitHit;
}

/** Whoever is refused often is told of in the log this often; the metric counts each time. */
const LOG_INTERVAL_MS = 10_000;

/** Counts what limits have refused, and says so in the log now and then. */
export function createLimits(registry: Registry, log: Log, clock: Clock): Limits {
  const exceeded = new Counter({
    name: 'gitlab_kas_limit_exceeded_total',
    help: 'What was refused, or ended, because a limit of server.limits was reached.',
    labelNames: ['limit', 'listener'],
    registers: [registry],
  });
  return {
    hit(name, scope, key, max) {
      const sample = exceeded.labels({ limit: name, listener: scope });
      sample.inc(0); // so that alerts have a series to watch from the start
      const lines = new NowAndThen(clock, LOG_INTERVAL_MS);
      let count = 0;
      return () => {
        sample.inc();
        count++;
        if (!lines.due) return;
        log.warn('Limit reached', { limit: name, listener: scope, max, count, hint: `${key} is the limit` });
        count = 0;
      };
    },
  };
}
