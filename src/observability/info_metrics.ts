import { readFileSync } from 'node:fs';
import type { Registry } from 'prom-client';
import { buildInfo } from '../runtime/build_info.ts';
import { gaugeFamily } from './hot_metrics.ts';

/** What upstream's exporter adds to all that it exports; dashboards may select by it. */
export const KAS_SCOPE = { otel_scope_name: 'kas', otel_scope_version: '' };

/** What Go's runtime reports for "as much as there is". */
const UNLIMITED = 2 ** 64;

/** Facts that do not change while the process runs. */
export function createInfoMetrics(registry: Registry): void {
  gaugeFamily(registry, {
    name: 'gitlab_build_info',
    help: 'Version that is served, and when it was built.',
    labelNames: ['built', 'version', 'otel_scope_name', 'otel_scope_version'],
    aggregator: 'first',
  }).with({ built: buildInfo.builtAt, version: buildInfo.version, ...KAS_SCOPE }).value = 1;
  gaugeFamily(registry, {
    name: 'otel_scope_info',
    help: 'What the labels otel_scope_name and otel_scope_version of other samples refer to.',
    labelNames: ['otel_scope_name', 'otel_scope_version'],
    aggregator: 'first',
  }).with(KAS_SCOPE).value = 1;
  gaugeFamily(registry, {
    name: 'target_info',
    help: 'What this process is.',
    labelNames: ['service_name', 'service_version'],
    aggregator: 'first',
  }).with({ service_name: 'gitlab-kas', service_version: buildInfo.version }).value = 1;
  gaugeFamily(registry, {
    name: 'process_virtual_memory_max_bytes',
    help: 'How much virtual memory the process may have, in bytes.',
    aggregator: 'first',
  }).with({}).value = virtualMemoryLimit();
}

function virtualMemoryLimit(): number {
  try {
    const limit = /^Max address space\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return limit === undefined ? UNLIMITED : Number(limit);
  } catch {
    return UNLIMITED; // not on Linux
  }
}
