import { Counter, Gauge, Registry } from 'prom-client';
import { buildInfo } from '../runtime/build_info.ts';
import { createLimiterMetrics, type ObserveLimiter } from './limiter_metrics.ts';
import { createRoutingMetrics, type RoutingMetrics } from './routing_metrics.ts';

/** What is counted, under the names that upstream's dashboards know. */
export interface Metrics {
  readonly registry: Registry;
  /** Agents that were turned away because their token has opened too many connections. */
  readonly agentRateExceeded: { inc(): void };
  /** Pushes that agents with Flux were told of, and those that they were too slow for. */
  readonly fluxNotifications: { inc(): void };
  readonly fluxDroppedNotifications: { inc(): void };
  readonly observeLimiter: ObserveLimiter;
  readonly routing: RoutingMetrics;
}

/** @param connectedAgents asked at each scrape; what it rejects with makes the sample NaN */
export function createMetrics(connectedAgents: () => Promise<number>): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'gitlab_build_info',
    help: 'Version that is served, and when it was built.',
    labelNames: ['version', 'built'],
    registers,
  }).set({ version: buildInfo.version, built: buildInfo.builtAt }, 1);
  new Gauge({
    name: 'connected_agents_count',
    help: 'Agents that are connected, each counted once whatever its number of pods.',
    registers,
    async collect() {
      this.set(await connectedAgents().catch(() => Number.NaN));
    },
  });
  const agentRateExceeded = new Counter({
    name: 'agent_server_rate_exceeded_total',
    help: 'Connections of agents refused because their token has opened too many in a minute.',
    registers,
  });
  const fluxNotifications = new Counter({
    name: 'flux_git_push_notifications_total',
    help: 'Pushes that agents with Flux were told of.',
    registers,
  });
  const fluxDroppedNotifications = new Counter({
    name: 'flux_dropped_git_push_notifications_total',
    help: 'Pushes that agents with Flux were not told of, because they were too slow.',
    registers,
  });
  return {
    registry,
    agentRateExceeded,
    fluxNotifications,
    fluxDroppedNotifications,
    observeLimiter: createLimiterMetrics(registry),
    routing: createRoutingMetrics(registry),
  };
}
