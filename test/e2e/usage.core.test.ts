// What GitLab is told of how the server is used (docs/protocol/usage.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import type { FakeGitLab } from '../support/gitlab/gitlab.ts';
import { eventually, within } from '../support/wait.ts';

const METRICS = '/api/v4/internal/kubernetes/usage_metrics';
const EVENTS = '/api/v4/internal/kubernetes/agent_events';
const AGENT_REQUESTS = 1; // when the cluster is started
const never = '3600s';

async function start(period: string, prepare: (gitlab: FakeGitLab) => void = () => {}) {
  const cluster = await startCluster({
    backend: await startBackend(),
    gitlab: {},
    config: { observability: { usage_reporting_period: period } },
  });
  const gitlab = cluster.gitlab as FakeGitLab;
  prepare(gitlab);
  return { cluster, gitlab };
}

interface Report {
  readonly counters?: Record<string, number>;
  readonly unique_counters?: Record<string, number[]>;
}

function taken(gitlab: FakeGitLab, path: string): string[] {
  return gitlab.requestsTo(path).flatMap(({ status, body }) => (status === 204 ? [body] : []));
}

/** What GitLab adds up from the reports that it has taken. */
function sum(gitlab: FakeGitLab, counter: string): number {
  const reports = taken(gitlab, METRICS).map((body) => JSON.parse(body) as Report);
  return reports.reduce((total, { counters }) => total + (counters?.[counter] ?? 0), 0);
}

function failures(cluster: Cluster): number {
  return cluster.server.log.filter(({ msg }) => msg === 'Failed to send usage data').length;
}

test('every form of access and every agent is counted and told before the end', async () => {
  const { cluster, gitlab } = await start(never);
  for (const token of ['ci:1:job-agent', 'ci:1:job-ci', 'pat:1:bob-pat']) await cluster.ask({ path: '/x', token });
  const cookie = {
    cookie: `_gitlab_kas=${encodeURIComponent('alice+cookie value')}`,
    'x-csrf-token': 'alice-csrf',
    'gitlab-agent-id': '1',
  };
  await cluster.ask({ path: '/x', token: null, headers: cookie });
  await cluster.ask({ path: '/x', token: 'pat:1:wrong' }); // not allowed, not counted
  assert.equal(gitlab.requestsTo(METRICS).length + gitlab.requestsTo(EVENTS).length, 0);
  await cluster.stop();
  assert.deepEqual(taken(gitlab, METRICS), [
    '{"counters":{"k8s_api_proxy_request":5,"k8s_api_proxy_requests_via_pat_access":2,' +
      '"k8s_api_proxy_requests_via_ci_access":2,"k8s_api_proxy_requests_via_user_access":1},' +
      '"unique_counters":{"k8s_api_proxy_requests_unique_agents_via_pat_access":[1],' +
      '"k8s_api_proxy_requests_unique_users_via_pat_access":[22,23],' +
      '"k8s_api_proxy_requests_unique_agents_via_ci_access":[1],' +
      '"k8s_api_proxy_requests_unique_users_via_ci_access":[22],' +
      '"k8s_api_proxy_requests_unique_agents_via_user_access":[1],' +
      '"k8s_api_proxy_requests_unique_users_via_user_access":[22]}}',
  ]);
  const [body = '', ...others] = taken(gitlab, EVENTS);
  assert.deepEqual(others, []);
  const { register_agent_at_kas: registered, ...users } = (JSON.parse(body) as { events: Record<string, object[]> })
    .events;
  assert.deepEqual(users, {
    k8s_api_proxy_requests_unique_users_via_pat_access: [
      { user_id: 22, project_id: 1001 },
      { user_id: 23, project_id: 1001 },
    ],
    k8s_api_proxy_requests_unique_users_via_ci_access: [{ user_id: 22, project_id: 55 }],
    k8s_api_proxy_requests_unique_users_via_user_access: [{ user_id: 22, project_id: 1001 }],
  });
  const { agent_version: version, ...agent } = (registered?.[0] ?? {}) as Record<string, unknown>;
  assert.deepEqual([agent.project_id, agent.agent_id], [1001, 1]);
  assert.match(String(version), /^v?\d+\./);
});

test('a GitLab that fails for a while is asked once a period and gets every count once', async () => {
  const { cluster, gitlab } = await start('0.2s');
  const recover = [METRICS, EVENTS].map((path) => gitlab.fail(path, { status: 503, body: '{"message":"later"}' }));
  for (let i = 0; i < 5; i++) await cluster.ask({ path: '/x', token: 'ci:1:job-agent' });
  const failed = await cluster.server.waitForLog(
    'of a report that failed',
    (l) => l.msg === 'Failed to send usage data',
  );
  assert.deepEqual([failed.level, failed.mod_name], ['error', 'usage_metrics']);
  assert.match(String(failed.error), /^HTTP status code: 503 for path \/api\/v4\/internal\/kubernetes\//);
  await eventually('failures over three periods', () => failures(cluster) >= 6);
  const asked = gitlab.requestsTo(METRICS).length + gitlab.requestsTo(EVENTS).length;
  assert.ok(
    asked <= failures(cluster) + 2 + taken(gitlab, METRICS).length + taken(gitlab, EVENTS).length,
    'no retries',
  );
  for (const stop of recover) stop();
  await eventually('the report', () => sum(gitlab, 'k8s_api_proxy_requests_via_ci_access') > 0);
  for (let i = 0; i < 3; i++) await cluster.ask({ path: '/x', token: 'ci:1:job-agent' });
  await cluster.stop();
  assert.equal(sum(gitlab, 'k8s_api_proxy_requests_via_ci_access'), 8);
  assert.equal(sum(gitlab, 'k8s_api_proxy_request'), 8 + AGENT_REQUESTS);
});

test('an older GitLab without events gets the counters, and nobody complains', async () => {
  const { cluster, gitlab } = await start('0.2s', (g) => {
    g.fail(EVENTS, { status: 404, body: '{"error":"404 Not Found"}' });
  });
  for (const token of ['pat:1:alice-pat', 'ci:1:job-agent', 'pat:1:bob-pat']) {
    const before = gitlab.requestsTo(METRICS).length;
    await cluster.ask({ path: '/x', token });
    await eventually('the next report', () => gitlab.requestsTo(METRICS).length > before);
  }
  await cluster.stop();
  assert.equal(gitlab.requestsTo(EVENTS).filter(({ status }) => status === 404).length, 1);
  assert.equal(sum(gitlab, 'k8s_api_proxy_request'), 3 + AGENT_REQUESTS);
  assert.equal(failures(cluster), 0);
});

test('a GitLab that does not answer holds the end up for 5 s', async () => {
  const { cluster, gitlab } = await start(never, (g) => {
    for (const path of [METRICS, EVENTS]) g.fail(path, { delayMs: 60_000 });
  });
  const startedAt = performance.now();
  cluster.server.signal('SIGTERM');
  assert.equal(await within('the process’ end', 12_000, cluster.server.exited), 0);
  assert.ok(performance.now() - startedAt >= 4_900);
  const errors = cluster.server.log.filter(({ msg }) => msg === 'Failed to send usage data').map(({ error }) => error);
  assert.deepEqual(new Set(errors), new Set(['not sent within 5 s']));
  assert.ok(gitlab.requests.length > 0);
  await cluster.stop();
});

test('a period of 0 sends nothing, not even at the end', async () => {
  const { cluster, gitlab } = await start('0s');
  await cluster.ask({ path: '/x' });
  await cluster.stop();
  assert.equal(gitlab.requestsTo(METRICS).length + gitlab.requestsTo(EVENTS).length, 0);
});
