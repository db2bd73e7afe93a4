import { Gauge, type Registry } from 'prom-client';

/** How many tunnels this node has, and of how many agents. */
export interface TunnelCounts {
  readonly idle: number;
  readonly busy: number;
  readonly agents: number;
}

/** @param count asked at each scrape */
export function createTunnelMetrics(registry: Registry, count: () => TunnelCounts): void {
  const registers = [registry];
  new Gauge({
    name: 'gitlab_kas_tunnels',
    help: 'Tunnels of agents to this node: `idle` ones wait for a request, `busy` ones carry one.',
    labelNames: ['state'],
    registers,
    collect() {
      const { idle, busy } = count();
      this.set({ state: 'idle' }, idle);
      this.set({ state: 'busy' }, busy);
    },
  });
  new Gauge({
    name: 'gitlab_kas_agents',
    help: 'Agents that have a tunnel to this node.',
    aggregator: 'first', // an agent's pods may be with several workers: only the primary process knows
    registers,
    collect() {
      this.set(count().agents);
    },
  });
}
