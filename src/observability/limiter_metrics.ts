import type { Registry } from 'prom-client';
import { gaugeFamily, HistogramFamily } from './hot_metrics.ts';
import { KAS_SCOPE } from './info_metrics.ts';

/** Hears how long a rate limiter has held a caller up, in milliseconds, and whether it let it through then. */
export type LimiterObserver = (blockedMs: number, allowed: boolean) => void;

/** Upstream's names. Gitaly's addresses come from GitLab, so they are few. */
export type LimiterName = 'agent_connection' | 'gitlab_client' | 'gitaly_client_global' | `gitaly_client_${string}`;

/** Shows the limit of a limiter, and returns what wants to hear of its decisions. */
export type ObserveLimiter = (name: LimiterName, unit: string, limit: number) => LimiterObserver;

/** @param registry where the samples stand, under upstream's names */
export function createLimiterMetrics(registry: Registry): ObserveLimiter {
  const limits = gaugeFamily(registry, {
    name: 'limiter_limit',
    help: 'Limit for the rate limiter',
    labelNames: ['limiter_name', 'unit', 'otel_scope_name', 'otel_scope_version'],
  });
  const blocked = new HistogramFamily(registry, {
    name: 'limiter_block_duration_milliseconds',
    help: 'Duration the rate limiter blocked for deciding to allow/block the call',
    labelNames: ['allowed', 'limiter_name', 'otel_scope_name', 'otel_scope_version'],
    buckets: [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000],
  });
  return (name, unit, limit) => {
    limits.with({ limiter_name: name, unit, ...KAS_SCOPE }).value = limit;
    const allowedSamples = blocked.with({ allowed: 'true', limiter_name: name, ...KAS_SCOPE });
    const refusedSamples = blocked.with({ allowed: 'false', limiter_name: name, ...KAS_SCOPE });
    return (blockedMs, allowed) => (allowed ? allowedSamples : refusedSamples).observe(blockedMs);
  };
}
