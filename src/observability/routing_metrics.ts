import type { Registry } from 'prom-client';
import { counter, HistogramFamily } from './hot_metrics.ts';

/** Hears how the search for an agent's tunnel ends. One of its functions is called once for each search. */
export interface RoutingMetrics {
  /** There was a tunnel, here or at a peer; after `waitedMs`, 0 if it was here and idle. */
  found(waitedMs: number): void;
  /** Whoever asked has gone before there was one. */
  aborted(waitedMs: number): void;
  /** @param connectedRecently whether the agent is known to be connected, or was a short while ago */
  timedOut(connectedRecently: boolean): void;
}

/** For servers that count nothing. */
export const uncountedRouting: RoutingMetrics = { found() {}, aborted() {}, timedOut() {} };

const BUCKETS_SECONDS = [0.001, 0.004, 0.016, 0.064, 0.256, 1.024, 4.096, 16.384];

/** The search for tunnels, under the names of 2023 and of today: dashboards know one or the other. */
export function createRoutingMetrics(registry: Registry): RoutingMetrics {
  const durations = ['k8s_api_proxy_routing_duration_seconds', 'tunnel_routing_duration_seconds'].map(
    (name) =>
      new HistogramFamily(registry, {
        name,
        help: 'Time that it took to find a tunnel of the agent, by how the search ended.',
        labelNames: ['status'],
        buckets: BUCKETS_SECONDS,
      }),
  );
  const timeouts = counter(registry, {
    name: 'k8s_api_proxy_routing_timeout_total',
    help: 'Searches for a tunnel that found none in time.',
  });
  const connected = counter(registry, {
    name: 'tunnel_routing_timeout_connected_recently_total',
    help: 'Searches that found no tunnel in time although the agent is, or was recently, connected.',
  });
  const notConnected = counter(registry, {
    name: 'tunnel_routing_timeout_not_connected_recently_total',
    help: 'Searches that found no tunnel in time of an agent that was not connected recently.',
  });
  const success = durations.map((family) => family.with({ status: 'success' }));
  const aborted = durations.map((family) => family.with({ status: 'aborted' }));
  return {
    found(waitedMs) {
      for (const duration of success) duration.observe(waitedMs / 1000);
    },
    aborted(waitedMs) {
      for (const duration of aborted) duration.observe(waitedMs / 1000);
    },
    timedOut(connectedRecently) {
      timeouts.inc();
      (connectedRecently ? connected : notConnected).inc();
    },
  };
}
