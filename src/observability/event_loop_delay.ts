import type { Registry } from 'prom-client';
import type { Scope } from '../runtime/scope.ts';
import { HistogramFamily } from './hot_metrics.ts';

/** Often enough to meet whatever holds everybody up, seldom enough to cost nothing. */
const PERIOD_MS = 100;
const BUCKETS_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Measures how late timers are: everything that this process does is at least that late, too. */
export function measureEventLoopDelay(registry: Registry, scope: Scope): void {
  const delay = new HistogramFamily(registry, {
    name: 'gitlab_kas_event_loop_delay_seconds',
    help: 'How much later than it should a timer was called, sampled ten times a second.',
    buckets: BUCKETS_SECONDS,
  }).with({});
  const { clock } = scope;
  let dueMs = 0;
  const tick = () => {
    delay.observe(Math.max(0, clock.monotonicMs() - dueMs) / 1000);
    next();
  };
  const next = () => {
    dueMs = clock.monotonicMs() + PERIOD_MS;
    scope.timeout(PERIOD_MS, tick);
  };
  next();
}
