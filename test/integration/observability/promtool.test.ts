// What Prometheus itself says of our page of metrics and of the alert rules. Without its promtool this is skipped, loudly.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { createMetrics } from '../../../src/observability/metrics.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { Scope } from '../../../src/runtime/scope.ts';

const there = spawnSync('promtool', ['--version']).status === 0;
const skip = there ? false : 'SKIPPED: there is no promtool (Debian: prometheus)';
if (!there) console.error('promtool.test.ts: SKIPPED, install the package prometheus for promtool');

function promtool(args: readonly string[], input?: string | Buffer) {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input });
  return { status, said: `${String(stdout)}${String(stderr)}` };
}

test('the page of metrics', { skip }, async () => {
  const scope = new Scope(systemClock);
  const observed = {
    connectedAgents: () => Promise.resolve(1),
    tunnels: () => ({ idle: 1, busy: 2, agents: 1 }),
    droppedLogLines: () => 0,
    peers: () => 0,
    store: undefined,
  };
  const metrics = createMetrics(observed, scope);
  metrics.observeLimiter('gitlab_client', '{refill/s}', 50)(3, true);
  metrics.grpc.server('/pkg.Service/Method', 'unary').started();
  metrics.httpServer('http').served('GET', '1.1', 200, 'kas.example', 1, 2, 3);
  const { body } = await metrics.scrapes.page(undefined, undefined);
  scope.close();
  const { status, said } = promtool(['check', 'metrics'], body);
  // Status 3: it could be read, but names are not to the linter's taste. Those are upstream's and prom-client's.
  assert.ok(status === 0 || status === 3, said);
  const complaints = said.split('\n').filter((line) => /^gitlab_kas_/.test(line));
  assert.deepEqual(complaints, []);
});

const docs = new URL('../../../docs/observability/', import.meta.url).pathname;
const rulesFile = `${docs}prometheus-rules.yaml`;

/** What promtool says of a file that lives as long as it looks at it; JSON is YAML. */
function promtoolOn(args: readonly string[], content: object) {
  const folder = mkdtempSync(join(tmpdir(), 'promtool-'));
  try {
    const file = join(folder, 'file.yaml');
    writeFileSync(file, JSON.stringify(content));
    return promtool([...args, file]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the alert rules', { skip }, () => {
  const { status, said } = promtool(['check', 'rules', rulesFile]);
  assert.equal(status, 0, said);
});

test('each question of the dashboard is PromQL', { skip }, () => {
  const { panels } = JSON.parse(readFileSync(`${docs}grafana-dashboard.json`, 'utf8')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  const asked = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  assert.ok(asked.length > 15);
  const rules = asked.map((expr, i) => ({
    record: `asked:${i}`,
    // What Grafana puts in place of its variables.
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$\{?\w+\}?/g, 'x'),
  }));
  const { status, said } = promtoolOn(['check', 'rules'], { groups: [{ name: 'dashboard', rules }] });
  assert.equal(status, 0, said);
});

interface Alert {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** For each alert: what has happened, a minute each, and the labels that it then has beside its own. */
const alarming: Readonly<Record<string, { series: Record<string, string>; labels?: Record<string, string> }>> = {
  GitlabKasDown: {
    series: { 'up{job="gitlab-kas",instance="a"}': '0x60' },
    labels: { job: 'gitlab-kas', instance: 'a' },
  },
  GitlabKasNoAgents: { series: { connected_agents_count: '5x20 0x60' } },
  GitlabKasProxyFailing: {
    series: {
      'gitlab_kas_proxied_requests_total{result="answered"}': '0+60x60',
      'gitlab_kas_proxied_requests_total{result="failed"}': '0+6x60',
    },
  },
  GitlabKasNoTunnelThoughConnected: { series: { tunnel_routing_timeout_connected_recently_total: '0+1x60' } },
  GitlabKasOverloaded: {
    series: { 'gitlab_kas_proxied_requests_total{result="overloaded",instance="a"}': '0+1x60' },
    labels: { instance: 'a' },
  },
  GitlabKasEventLoopSlow: {
    series: {
      'gitlab_kas_event_loop_delay_seconds_bucket{instance="a",le="0.25"}': '0+500x60',
      'gitlab_kas_event_loop_delay_seconds_bucket{instance="a",le="1"}': '0+600x60',
      'gitlab_kas_event_loop_delay_seconds_bucket{instance="a",le="+Inf"}': '0+600x60',
    },
    labels: { instance: 'a' },
  },
  GitlabKasGitLabRateLimited: {
    series: {
      'limiter_block_duration_milliseconds_bucket{limiter_name="gitlab_client",le="5000"}': '0+5x60',
      'limiter_block_duration_milliseconds_bucket{limiter_name="gitlab_client",le="10000"}': '0+10x60',
      'limiter_block_duration_milliseconds_bucket{limiter_name="gitlab_client",le="+Inf"}': '0+10x60',
    },
    labels: { limiter_name: 'gitlab_client' },
  },
  GitlabKasSecretRefused: {
    series: { 'gitlab_kas_gitlab_secret_refused{instance="a"}': '1x60' },
    labels: { instance: 'a' },
  },
  GitlabKasFilesRunningOut: {
    series: {
      'process_open_fds{job="gitlab-kas",instance="a"}': '950x60',
      'process_max_fds{job="gitlab-kas",instance="a"}': '1000x60',
    },
    labels: { job: 'gitlab-kas', instance: 'a' },
  },
  GitlabKasLogLinesDropped: {
    series: { 'gitlab_kas_dropped_log_lines_total{instance="a"}': '0+1x60' },
    labels: { instance: 'a' },
  },
  GitlabKasVersionsDiffer: {
    series: { 'gitlab_build_info{version="v1"}': '1x120', 'gitlab_build_info{version="v2"}': '1x120' },
  },
  GitlabKasStoreAway: { series: { 'gitlab_kas_store_up{instance="a"}': '0x60' }, labels: { instance: 'a' } },
  GitlabKasNodesMisconfigured: {
    series: { 'gitlab_kas_peer_failures_total{instance="a",reason="untrusted"}': '0+1x60' },
    labels: { instance: 'a', reason: 'untrusted' },
  },
};

/** The same series while nothing is wrong. */
const calm: Readonly<Record<string, string>> = {
  up: '1x120',
  connected_agents_count: '5x120',
  gitlab_kas_proxied_requests_total: '0x120',
  tunnel_routing_timeout_connected_recently_total: '0x120',
  gitlab_kas_event_loop_delay_seconds_bucket: '0x120',
  limiter_block_duration_milliseconds_bucket: '0x120',
  gitlab_kas_gitlab_secret_refused: '0x120',
  process_open_fds: '50x120',
  process_max_fds: '1000x120',
  gitlab_kas_dropped_log_lines_total: '0x120',
  gitlab_build_info: '_x120',
  gitlab_kas_store_up: '1x120',
  gitlab_kas_peer_failures_total: '0x120',
};

test('each alert comes when it should, and not otherwise', { skip }, () => {
  const { groups } = parse(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Alert[] }[] };
  const alerts = groups.flatMap(({ rules }) => rules);
  assert.deepEqual(alerts.map(({ alert }) => alert).sort(), Object.keys(alarming).sort());
  const tests = alerts.flatMap(({ alert, labels: own, annotations }) => {
    const { series, labels = {} } = alarming[alert] ?? assert.fail(alert);
    const filled = Object.entries(annotations).map(([name, text]) => [
      name,
      text.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? ''),
    ]);
    const seen = (values: (name: string) => string) =>
      Object.keys(series).map((name) => ({ series: name, values: values(name) }));
    const expected = { exp_labels: { ...own, ...labels }, exp_annotations: Object.fromEntries(filled) };
    const due = (exp_alerts: object[], eval_time: string) => [{ eval_time, alertname: alert, exp_alerts }];
    const alarmed = alert === 'GitlabKasVersionsDiffer' ? '90m' : '50m';
    return [
      { interval: '1m', input_series: seen((name) => series[name] ?? ''), alert_rule_test: due([expected], alarmed) },
      {
        interval: '1m',
        input_series: seen((name) => calm[name.replace(/\{.*/, '')] ?? assert.fail(name)),
        alert_rule_test: due([], alarmed),
      },
    ];
  });
  const { status, said } = promtoolOn(['test', 'rules'], {
    rule_files: [rulesFile],
    evaluation_interval: '1m',
    tests,
  });
  assert.equal(status, 0, said);
});
