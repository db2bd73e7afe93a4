// The dashboard and the alert rules ask for metrics and labels that there are.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { registeredMetrics } from './metrics_reference.ts';

function read(file: string): string {
  return readFileSync(new URL(`../../docs/observability/${file}`, import.meta.url), 'utf8');
}

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
}
interface Rules {
  readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
}

/** Prometheus gives these to what it scrapes. */
const fromPrometheus = new Set(['job', 'instance', 'le']);
const metrics = new Map(registeredMetrics().map((metric) => [metric.name, metric]));

function metricOf(name: string) {
  const histogram = metrics.get(name.replace(/_(bucket|sum|count)$/, ''));
  return histogram?.type === 'histogram' && histogram.name !== name ? histogram : metrics.get(name);
}

function check(where: string, expression: string): void {
  const names = [...expression.matchAll(/\b[a-z]+_[a-z0-9_]+(?=[{[)\s,=]|$)/g)].map(([name]) => name);
  const words = new Set(['histogram_quantile', 'label_values', 'max_over_time', 'rate_interval']);
  const labels = new Set([...metrics.values()].flatMap(({ labelNames }) => labelNames));
  const asked = names.filter((name) => !words.has(name) && !labels.has(name));
  for (const name of asked) {
    const metric = metricOf(name);
    assert.ok(metric !== undefined, `${where}: there is no ${name}`);
    assert.ok(metric.type !== 'histogram' || metric.name !== name, `${where}: ${name} is a histogram`);
  }
  for (const [, name = '', selector = ''] of expression.matchAll(/\b([a-z0-9_]+)\{([^}]*)\}/g)) {
    for (const [, label = ''] of selector.matchAll(/([a-z_]+)(?:=|!=|=~|!~)"/g)) {
      const known = fromPrometheus.has(label) || (metricOf(name)?.labelNames.includes(label) ?? false);
      assert.ok(known, `${where}: ${name} has no label ${label}`);
    }
  }
  for (const [, by = ''] of expression.matchAll(/\bby \(([^)]*)\)/g)) {
    for (const label of by.split(/,\s*/)) {
      const known = fromPrometheus.has(label) || asked.some((name) => metricOf(name)?.labelNames.includes(label));
      assert.ok(known, `${where}: nothing has the label ${label}`);
    }
  }
  assert.ok(asked.length > 0 || /\bup\b/.test(expression), `${where} asks for nothing`);
}

test('the dashboard', () => {
  const { panels, templating } = JSON.parse(read('grafana-dashboard.json')) as Dashboard;
  const asking = panels.filter(({ targets }) => targets !== undefined);
  assert.ok(asking.length > 15);
  for (const { title, targets = [] } of asking) for (const { expr } of targets) check(title, expr);
  for (const { query } of templating.list) if (query !== 'prometheus') check('variable', query);
});

test('the alert rules', () => {
  const { groups } = parse(read('prometheus-rules.yaml')) as Rules;
  const rules = groups.flatMap((group) => group.rules);
  assert.ok(rules.length > 5);
  for (const { alert, expr } of rules) check(alert, expr);
});

/** What the dashboards and alerts of GitLab.com ask of its agent server today. */
const ASKED_BY_GITLAB = {
  grpc_server_handled_total: ['grpc_type', 'grpc_service', 'grpc_method', 'grpc_code'],
  grpc_server_handling_seconds: ['grpc_type', 'grpc_service', 'grpc_method'],
  grpc_server_requests_in_flight: ['grpc_service', 'grpc_method'],
  limiter_block_duration_milliseconds: ['limiter_name', 'allowed'],
  tunnel_routing_duration_seconds: ['status'],
  tunnel_routing_timeout_connected_recently_total: [],
  tunnel_routing_timeout_not_connected_recently_total: [],
  gitlab_build_info: ['version'],
  'registry_async_submission_…': [],
  'job_router_admission_control_…': [],
};

test('what GitLab’s own dashboards ask for is served, or the page says why it is not', () => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  const notHere = page.split(/^## Not here$/m)[1]?.split(/^## /m)[0] ?? '';
  for (const [name, labels] of Object.entries(ASKED_BY_GITLAB)) {
    const metric = metrics.get(name);
    if (metric === undefined) assert.ok(notHere.includes(`\`${name}\``), `${name} is missing, and not explained`);
    else for (const label of labels) assert.ok(metric.labelNames.includes(label), `${name} lacks ${label}`);
  }
});

test('a name that is wrong is found', () => {
  for (const expression of [
    'rate(gitlab_kas_nonsense_total[5m])',
    'gitlab_kas_tunnels{kind="idle"}',
    'tunnel_routing_duration_seconds{}',
  ]) {
    assert.throws(() => check('here', expression));
  }
});
