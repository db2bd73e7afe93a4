// What Prometheus itself says of our page of metrics and of the alert rules. Without its promtool this is skipped, loudly.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
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

test('the alert rules', { skip }, () => {
  const file = new URL('../../../docs/observability/prometheus-rules.yaml', import.meta.url).pathname;
  const { status, said } = promtool(['check', 'rules', file]);
  assert.equal(status, 0, said);
});
