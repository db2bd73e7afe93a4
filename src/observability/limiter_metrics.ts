import { Gauge, Histogram, type Registry } from 'prom-client';

/** Hears how long a rate limiter has held a caller up, in milliseconds, and whether it let it through then. */
export type LimiterObserver = (blockedMs: number, allowed: boolean) => void;

/** Shows the limit of a limiter, and returns what wants to hear of its decisions. */
export type ObserveLimiter = (
  name: 'agent_connection' | 'gitlab_client',
  unit: string,
  limit: number,
) => LimiterObserver;

/** @param registry where the samples stand, under upstream's names */
export function createLimiterMetrics(registry: Registry): ObserveLimiter {
  const registers = [registry];
  const limits = new Gauge({
    name: 'limiter_limit',
    help: 'Limit for the rate limiter',
    labelNames: ['limiter_name', 'unit'],
    registers,
  });
  const blocked = new Histogram({
    name: 'limiter_block_duration_milliseconds',
    help: 'Duration the rate limiter blocked for deciding to allow/block the call',
    labelNames: ['allowed', 'limiter_name'],
    buckets: [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000],
    registers,
  });
  return (name, unit, limit) => {
    limits.set({ limiter_name: name, unit }, limit);
    const allowedSamples = blocked.labels({ allowed: 'true', limiter_name: name });
    const refusedSamples = blocked.labels({ allowed: 'false', limiter_name: name });
    return (blockedMs, allowed) => (allowed ? allowedSamples : refusedSamples).observe(blockedMs);
  };
}
