import type { Registry } from 'prom-client';
import { createLimits } from '../observability/limits.ts';
import type { Log } from '../observability/log.ts';
import { createMetrics } from '../observability/metrics.ts';
import { systemClock } from '../runtime/clock.ts';
import { Scope } from '../runtime/scope.ts';

/** A metric as the server registers it. */
interface RegisteredMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

const nothing = () => {};
const silent: Log = {
  debugEnabled: false,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  with: () => silent,
};

/** All metrics that a server has, with labels, in the order of their names. */
export function registeredMetrics(): RegisteredMetric[] {
  const scope = new Scope(systemClock);
  try {
    const observed = {
      connectedAgents: () => Promise.resolve(0),
      tunnels: () => ({ idle: 0, busy: 0, agents: 0 }),
      droppedLogLines: () => 0,
      peers: () => 0,
      store: undefined,
    };
    const { registry } = createMetrics(observed, scope);
    createLimits(registry, silent, systemClock);
    return metricsOf(registry);
  } finally {
    scope.close();
  }
}

function metricsOf(registry: Registry): RegisteredMetric[] {
  const metrics = registry.getMetricsAsArray() as unknown as (RegisteredMetric & { labelNames?: readonly string[] })[];
  return metrics
    .map(({ name, type, help, labelNames = [] }) => ({ name, type, help, labelNames }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The table of all metrics as Markdown, for docs/metrics.md. */
export function metricsReference(): string {
  const rows = registeredMetrics().map(({ name, type, help, labelNames }) => {
    const labels = labelNames.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${labels} | ${help.replaceAll('|', '\\|')} |`;
  });
  return ['| name | type | labels | meaning |', '|---|---|---|---|', ...rows, ''].join('\n');
}
