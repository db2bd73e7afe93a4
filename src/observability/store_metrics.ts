import { Counter, Gauge, type Registry } from 'prom-client';

/** How it stands with a store that can be away. */
export interface StoreHealth {
  /** Why it cannot be reached; undefined while it can. */
  readonly trouble: string | undefined;
  /** How much has failed since the start: attempts to connect, and what was asked of it. */
  readonly errors: number;
}

/** @param health undefined: the store is this process's own memory, which is always there */
export function createStoreMetrics(registry: Registry, health: StoreHealth | undefined): void {
  const registers = [registry];
  new Gauge({
    name: 'gitlab_kas_store_up',
    help: 'Whether the store that nodes share can be reached: 1, or 0 while this node goes on alone.',
    aggregator: 'first', // one store for all workers
    registers,
    collect() {
      this.set(health?.trouble === undefined ? 1 : 0);
    },
  });
  new Counter({
    name: 'gitlab_kas_store_errors_total',
    help: 'Attempts to connect to the store, and commands to it, that have failed.',
    registers,
    collect() {
      this.reset();
      this.inc(health?.errors ?? 0);
    },
  });
}
