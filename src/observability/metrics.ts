import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Scope } from '../runtime/scope.ts';
import { measureEventLoopDelay } from './event_loop_delay.ts';
import { createGrpcMetrics, type GrpcMetrics } from './grpc_metrics.ts';
import { createHttpServerMetrics, type HttpServerMetrics } from './http_server_metrics.ts';
import { createInfoMetrics } from './info_metrics.ts';
import { createLimiterMetrics, type ObserveLimiter } from './limiter_metrics.ts';
import { type CountPeerFailure, createPeerMetrics } from './peer_metrics.ts';
import { createProxyMetrics, type ProxyMetrics } from './proxy_metrics.ts';
import { createRoutingMetrics, type RoutingMetrics, uncountedRouting } from './routing_metrics.ts';
import { Scrapes } from './scrape_metrics.ts';
import { createStoreMetrics, type StoreHealth } from './store_metrics.ts';
import { createTunnelMetrics, type TunnelCounts } from './tunnel_metrics.ts';

/** What is counted, under the names that upstream's dashboards know; docs/metrics.md has them all. */
export interface Metrics {
  readonly registry: Registry;
  /** Agents that were turned away because their token has opened too many connections. */
  readonly agentRateExceeded: { inc(): void };
  /** 1 while GitLab refuses the secret, else 0. */
  readonly gitlabSecretRefused: { set(value: 0 | 1): void };
  /** Pushes that agents with Flux were told of, and those that they were too slow for. */
  readonly fluxNotifications: { inc(): void };
  readonly fluxDroppedNotifications: { inc(): void };
  readonly observeLimiter: ObserveLimiter;
  readonly routing: RoutingMetrics;
  readonly peerFailure: CountPeerFailure;
  readonly grpc: GrpcMetrics;
  readonly proxy: ProxyMetrics;
  readonly httpServer: (scheme: 'http' | 'https') => HttpServerMetrics;
  readonly scrapes: Scrapes;
}

/** Those whose state is looked at when somebody asks. */
export interface Observed {
  /** What it rejects with makes the sample NaN. */
  connectedAgents(): Promise<number>;
  tunnels(): TunnelCounts;
  droppedLogLines(): number;
  /** Other nodes that this one is connected to. */
  peers(): number;
  /** Undefined: there is none that could be away. */
  readonly store: StoreHealth | undefined;
}

/**
 * @param scope ends what is measured all the time
 * @param measure whether anything is
 */
export function createMetrics(observed: Observed, scope: Scope, measure = true): Metrics {
  const registry = new Registry();
  const registers = [registry];
  createInfoMetrics(registry);
  new Gauge({
    name: 'connected_agents_count',
    help: 'Agents that are connected, each counted once whatever its number of pods.',
    aggregator: 'first', // one directory for all workers
    registers,
    async collect() {
      this.set(await observed.connectedAgents().catch(() => Number.NaN));
    },
  });
  const agentRateExceeded = new Counter({
    name: 'agent_server_rate_exceeded_total',
    help: 'Connections of agents refused because their token has opened too many in a minute.',
    registers,
  });
  const gitlabSecretRefused = new Gauge({
    name: 'gitlab_kas_gitlab_secret_refused',
    help: 'Whether GitLab refuses the secret that it shares with this server: 1, or 0.',
    aggregator: 'max', // one is enough to look at it
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
  new Counter({
    name: 'gitlab_kas_dropped_log_lines_total',
    help: 'Log lines that nobody has taken off standard error in time.',
    registers,
    collect() {
      this.reset();
      this.inc(observed.droppedLogLines());
    },
  });
  new Gauge({
    name: 'gitlab_kas_peers',
    help: 'Other nodes, and other workers, that this one has asked within the last hour.',
    registers,
    collect() {
      this.set(observed.peers());
    },
  });
  createStoreMetrics(registry, observed.store);
  createTunnelMetrics(registry, () => observed.tunnels());
  if (measure) {
    measureEventLoopDelay(registry, scope);
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });
  }
  return {
    registry,
    agentRateExceeded,
    gitlabSecretRefused,
    fluxNotifications,
    fluxDroppedNotifications,
    observeLimiter: createLimiterMetrics(registry),
    peerFailure: createPeerMetrics(registry),
    routing: measure ? createRoutingMetrics(registry) : uncountedRouting,
    grpc: createGrpcMetrics(registry),
    proxy: createProxyMetrics(registry),
    httpServer: createHttpServerMetrics(registry),
    scrapes: new Scrapes(registry),
  };
}
