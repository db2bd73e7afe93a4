import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startGitLab } from '../../support/gitlab/gitlab.ts';
import { openClient, patience } from './setup.ts';

const METRICS = '/api/v4/internal/kubernetes/usage_metrics';
const EVENTS = '/api/v4/internal/kubernetes/agent_events';

async function open(t: TestContext) {
  const gitlab = await startGitLab();
  t.after(() => gitlab.close());
  return { gitlab, client: openClient(t, gitlab.url, { secret: gitlab.secret }) };
}

test('a report of counters and ids', async (t) => {
  const { gitlab, client } = await open(t);
  const usage = { counters: new Map([['a', 2]]), uniqueCounters: new Map([['u', [22n, 2n ** 62n + 1n]]]) };
  await client.reportUsage(usage, patience());
  const seen = gitlab.requests[0];
  assert.equal(`${seen?.method} ${seen?.target}`, `POST ${METRICS}`);
  assert.equal(seen?.body, '{"counters":{"a":2},"unique_counters":{"u":[22,4611686018427387905]}}');
  const names = seen?.rawHeaders.map(([name]) => name).filter((name) => name !== 'Connection');
  assert.deepEqual(names, [
    'Host',
    'User-Agent',
    'Content-Length',
    'Content-Type',
    'Gitlab-Kas-Api-Request',
    'Accept-Encoding',
  ]);
  assert.equal(seen?.headers['content-type'], 'application/json');
  assert.deepEqual(gitlab.problems, []);
});

test('what there is none of is left out', async (t) => {
  const { gitlab, client } = await open(t);
  await client.reportUsage({ counters: new Map(), uniqueCounters: new Map([['u', [1n]]]) }, patience());
  await client.reportUsage({ counters: new Map([['a', 1]]), uniqueCounters: new Map() }, patience());
  assert.deepEqual(
    gitlab.requests.map((r) => r.body),
    ['{"unique_counters":{"u":[1]}}', '{"counters":{"a":1}}'],
  );
});

test('a report of events', async (t) => {
  const { gitlab, client } = await open(t);
  const events = new Map([['e', [{ user_id: 22n, project_id: 55n, more: { method: 'helm' } }]]]);
  assert.equal(await client.reportEvents(events, patience()), true);
  const seen = gitlab.requests[0];
  assert.equal(`${seen?.method} ${seen?.target}`, `POST ${EVENTS}`);
  assert.equal(seen?.body, '{"events":{"e":[{"user_id":22,"project_id":55,"more":{"method":"helm"}}]}}');
  assert.deepEqual(gitlab.problems, []);
});

for (const status of [201, 400, 401, 404, 500, 503]) {
  test(`a report of counters answered with ${status} is an error and not repeated`, async (t) => {
    const { gitlab, client } = await open(t);
    gitlab.fail(METRICS, { status });
    const usage = { counters: new Map([['a', 1]]), uniqueCounters: new Map() };
    await assert.rejects(client.reportUsage(usage, patience()), {
      name: 'GitLabError',
      message: `HTTP status code: ${status} for path ${METRICS}`,
    });
    assert.equal(gitlab.requests.length, 1);
  });
}

test('a GitLab that knows no events is asked once; other failures are errors', async (t) => {
  const { gitlab, client } = await open(t);
  const events = new Map([['e', [{ id: 1n }]]]);
  gitlab.fail(EVENTS, { status: 503 }, 1);
  await assert.rejects(client.reportEvents(events, patience()), { name: 'GitLabError', status: 503 });
  gitlab.fail(EVENTS, { status: 404, contentType: 'text/html' }, 1);
  await assert.rejects(client.reportEvents(events, patience()), { name: 'GitLabError', status: 404 });
  gitlab.fail(EVENTS, { status: 404 }, 1);
  assert.equal(await client.reportEvents(events, patience()), false);
  assert.equal(await client.reportEvents(events, patience()), false);
  assert.equal(gitlab.requests.length, 3);
});
