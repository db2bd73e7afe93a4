import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { recordingLog } from '../../test/support/recording_log.ts';
import { AllowedAgentsForJobSchema, AuthorizeProxyUserResponseSchema } from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { ProxyUserQuestion } from '../gitlab/client.ts';
import { GitLabError } from '../gitlab/gitlab_error.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { GitLabUserAuthorizer } from './gitlab_user_authorizer.ts';
import { refusalStatus, type UserCredential } from './user_authorizer.ts';

const never = { signal: new AbortController().signal };
const jobAnswer = create(AllowedAgentsForJobSchema, { job: { id: 1n } });
const userAnswer = create(AuthorizeProxyUserResponseSchema, { user: { id: 1n, username: 'alice' } });
const credential: UserCredential = { agentId: 1n, accessType: 'session_cookie', accessKey: 'ab', csrfToken: 'c' };

function setUp() {
  const clock = new FakeClock();
  const jobs: string[] = [];
  const users: ProxyUserQuestion[] = [];
  const authorizer = new GitLabUserAuthorizer({
    gitlab: {
      allowedAgents(jobToken) {
        jobs.push(jobToken);
        return jobToken === 'bad' ? Promise.reject(new GitLabError(403, '/path')) : Promise.resolve(jobAnswer);
      },
      authorizeProxyUser(question) {
        users.push(question);
        return Promise.resolve(userAnswer);
      },
    },
    allowedAgentCacheTtlMs: 60_000,
    allowedAgentCacheErrorTtlMs: 10_000,
    clock,
    errors: createMemoryStore({ clock }).errorCache,
    log: recordingLog().log,
  });
  return { authorizer, jobs, users };
}

test('a CI job is asked about once, whatever the agent', async () => {
  const { authorizer, jobs } = setUp();
  assert.equal(authorizer.peekCiJob(1n, 'job'), undefined);
  assert.equal(await authorizer.ciJob(1n, 'job', never), jobAnswer);
  assert.equal(await authorizer.ciJob(2n, 'job', never), jobAnswer);
  assert.equal(authorizer.peekCiJob(3n, 'job'), jobAnswer);
  assert.deepEqual(jobs, ['job']);
});

test('a refused CI job is told from a failure', async () => {
  const { authorizer, jobs } = setUp();
  for (let i = 0; i < 2; i++) {
    const error = await authorizer.ciJob(1n, 'bad', never).catch((e: unknown) => e);
    assert.equal(refusalStatus(error), 403);
  }
  assert.deepEqual(jobs, ['bad']);
  assert.equal(refusalStatus(new GitLabError(500, '/path')), undefined);
  assert.equal(refusalStatus(new Error('defect')), undefined);
});

test('a user is asked about once', async () => {
  const { authorizer, users } = setUp();
  assert.equal(authorizer.peekProxyUser(credential), undefined);
  const user = await authorizer.proxyUser(credential, never);
  assert.deepEqual(user, { kind: 'gitlab', response: userAnswer });
  assert.equal(authorizer.peekProxyUser({ ...credential }), user);
  assert.equal(await authorizer.proxyUser({ ...credential }, never), user);
  assert.deepEqual(users, [credential]);
});

const others: Partial<UserCredential>[] = [
  { agentId: 2n },
  { accessType: 'personal_access_token' },
  { accessKey: 'abc', csrfToken: '' },
  { accessKey: 'a', csrfToken: 'bc' },
  { csrfToken: 'd' },
];
for (const other of others) {
  test(`another credential is another question: ${Object.keys(other)} ${Object.values(other)}`, async () => {
    const { authorizer, users } = setUp();
    await authorizer.proxyUser(credential, never);
    assert.equal(authorizer.peekProxyUser({ ...credential, ...other }), undefined);
    await authorizer.proxyUser({ ...credential, ...other }, never);
    assert.equal(users.length, 2);
  });
}
