// What Sentry is told (docs/protocol/sentry.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import type { FakeGitLab } from '../support/gitlab/gitlab.ts';
import { startSentryReceiver } from '../support/sentry/receiver.ts';
import { startServer } from '../support/server.ts';

test('an error line becomes an event about the agent; a refusal does not', async (t) => {
  const sentry = await startSentryReceiver();
  t.after(() => sentry.close());
  const cluster = await startCluster({
    backend: await startBackend(),
    gitlab: {},
    config: { observability: { sentry: { dsn: sentry.dsn, environment: 'staging' } } },
  });
  (cluster.gitlab as FakeGitLab).fail('/api/v4/job/allowed_agents', { status: 502, body: '{}' });
  assert.equal((await cluster.ask({ path: '/x', token: 'ci:1:job-plain' })).status, 500);
  assert.equal((await cluster.ask({ path: '/x', token: 'pat:1:nobody' })).status, 401);
  const event = await sentry.event('Failed to get allowed agents for CI job token');
  assert.deepEqual([event.user, event.environment, event.level], [{ id: '1' }, 'staging', 'error']);
  await cluster.stop();
  assert.ok(sentry.events.every(({ exception }) => !exception.values[0]?.value.includes('Unauthorized')));
  assert.doesNotMatch(JSON.stringify(sentry.requests), /job-plain|agent-token|nobody/);
});

test('the environment names a Sentry, its environment and the release where the file does not', async (t) => {
  const sentry = await startSentryReceiver();
  t.after(() => sentry.close());
  const env = { SENTRY_DSN: sentry.dsn, SENTRY_ENVIRONMENT: 'from-env', SENTRY_RELEASE: 'r1' };
  const cluster = await startCluster({ backend: await startBackend(), gitlab: {}, env });
  (cluster.gitlab as FakeGitLab).fail('/api/v4/job/allowed_agents', { status: 502, body: '{}' });
  await cluster.ask({ path: '/x', token: 'ci:1:job-plain' });
  const event = await sentry.event('Failed to get allowed agents');
  assert.deepEqual([event.environment, event.release], ['from-env', 'r1']);
  await cluster.stop();
});

test('a DSN of the environment that is none stops the start', async () => {
  const server = await startServer({ env: { SENTRY_DSN: 'nonsense' }, ready: false });
  assert.equal(await server.exited, 1);
  assert.match(server.stderr(), /Program aborted: error tracker: the DSN is not valid/);
});
