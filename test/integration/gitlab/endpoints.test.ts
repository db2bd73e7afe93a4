import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { GitLabError } from '../../../src/gitlab/gitlab_error.ts';
import type { Era } from '../../support/gitlab/answers.ts';
import { type FakeGitLab, startGitLab } from '../../support/gitlab/gitlab.ts';
import { openClient, patience } from './setup.ts';

const NEW = '/api/v4/internal/agents/agentk/agent_info';
const OLD = '/api/v4/internal/kubernetes/agent_info';

async function open(t: TestContext, era: Era) {
  const gitlab = await startGitLab({ era });
  t.after(() => gitlab.close());
  return { gitlab, client: openClient(t, gitlab.url, { secret: gitlab.secret }) };
}

function lastHeaders(gitlab: FakeGitLab) {
  return gitlab.requests.at(-1)?.rawHeaders.filter(([name]) => name !== 'Connection');
}

for (const era of ['2023', 'middle', 'today'] as const) {
  test(`an agent is known to the GitLab of ${era}, and an unknown token refused`, async (t) => {
    const { gitlab, client } = await open(t, era);
    const info = await client.agentInfo('agent-token-2', patience());
    assert.equal(info.agentId, 2n);
    assert.equal(info.projectId, 1002n);
    assert.equal(info.agentName, 'agent-2');
    assert.equal(info.gitalyRepository?.glProjectPath, 'group/project-1002');
    await assert.rejects(client.agentInfo('nobody', patience()), { name: 'GitLabError', status: 401 });
    assert.deepEqual(gitlab.problems, []);
  });
}

test('a GitLab without the new path is asked there once', async (t) => {
  const { gitlab, client } = await open(t, '2023');
  await client.agentInfo('agent-token-1', patience());
  await client.agentInfo('agent-token-2', patience());
  assert.deepEqual(
    gitlab.requests.map((r) => r.path),
    [NEW, OLD, OLD],
  );
});

test("the new path's request", async (t) => {
  const { gitlab, client } = await open(t, 'today');
  await client.agentInfo('agent-token-2', patience());
  const headers = lastHeaders(gitlab);
  const jwt = headers?.find(([name]) => name === 'Gitlab-Kas-Api-Request')?.[1];
  assert.deepEqual(headers, [
    ['Host', new URL(gitlab.url).host],
    ['User-Agent', 'gitlab-kas/v0.0.0/00000000'],
    ['Accept', 'application/json'],
    ['Gitlab-Agent-Api-Request', 'agent-token-2'],
    ['Gitlab-Agentk-Api-Request', 'agent-token-2'],
    ['Gitlab-Kas-Api-Request', jwt],
    ['Accept-Encoding', 'gzip'],
  ]);
});

test("the old path's request has the bearer too", async (t) => {
  const { gitlab, client } = await open(t, '2023');
  await client.agentInfo('agent-token-2', patience());
  assert.deepEqual(lastHeaders(gitlab)?.slice(2, 6), [
    ['Accept', 'application/json'],
    ['Authorization', 'Bearer agent-token-2'],
    ['Gitlab-Agent-Api-Request', 'agent-token-2'],
    ['Gitlab-Agentk-Api-Request', 'agent-token-2'],
  ]);
});

test('the agents of a CI job', async (t) => {
  const { gitlab, client } = await open(t, 'today');
  const answer = await client.allowedAgents('job-ci', { ...patience(), correlationId: 'request-1' });
  assert.equal(answer.allowedAgents[0]?.configuration?.accessAs?.as.case, 'ciJob');
  assert.equal(answer.environment?.tier, 'production');
  const seen = gitlab.requests.at(-1);
  assert.equal(seen?.target, '/api/v4/job/allowed_agents');
  assert.equal(seen?.headers['job-token'], 'job-ci');
  assert.equal(seen?.headers['x-request-id'], 'request-1');
  assert.equal(seen?.headers.authorization, undefined);
  await assert.rejects(client.allowedAgents('nope', patience()), {
    message: 'HTTP status code: 401 for path /api/v4/job/allowed_agents',
  });
  assert.deepEqual(gitlab.problems, []);
});

test('a user with a token', async (t) => {
  const { gitlab, client } = await open(t, 'today');
  const question = { agentId: 1n, accessType: 'personal_access_token', accessKey: 'bob-pat', csrfToken: '' } as const;
  const answer = await client.authorizeProxyUser(question, patience());
  assert.equal(answer.user?.username, 'bob');
  assert.equal(answer.accessAs?.accessAs.case, 'user');
  const seen = gitlab.requests.at(-1);
  assert.equal(seen?.method, 'POST');
  assert.deepEqual(JSON.parse(seen?.body ?? ''), {
    agent_id: '1',
    access_type: 'personal_access_token',
    access_key: 'bob-pat',
  });
  assert.equal(seen?.headers['content-type'], 'application/json');
  assert.equal(seen?.headers['content-length'], String(seen?.body.length));
  assert.deepEqual(gitlab.problems, []);
});

test("a refused user, with GitLab's reason", async (t) => {
  const { gitlab, client } = await open(t, 'today');
  gitlab.fail('/authorize_proxy_user', { status: 403, body: '{"message":"no way"}' });
  const question = { agentId: 1n, accessType: 'session_cookie', accessKey: 'c', csrfToken: 't' } as const;
  await assert.rejects(client.authorizeProxyUser(question, patience()), (error) => {
    assert.ok(error instanceof GitLabError);
    assert.equal(
      error.message,
      'HTTP status code: 403 for path /api/v4/internal/kubernetes/authorize_proxy_user with reason no way',
    );
    return true;
  });
});
