import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StandaloneUser } from '../config/config.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { StandaloneAgentAuthenticator } from './standalone_agent_authenticator.ts';
import { StandaloneUserAuthorizer } from './standalone_user_authorizer.ts';
import { tokenHash } from './token_hash.ts';
import { refusalStatus, type UserCredential } from './user_authorizer.ts';

test('an agent of the section is known by its token', async () => {
  const agents = new StandaloneAgentAuthenticator([
    { id: 1n, name: 'demo', tokenSha256: tokenHash('one') },
    { id: 2n, name: 'other', tokenSha256: tokenHash('two') },
  ]);
  const info = await agents.authenticate('two');
  assert.deepEqual(info, { id: 2n, projectId: 2n, name: 'other', projectPath: 'other', repository: undefined });
  assert.equal(agents.peek('two'), info);
});

test('any other token is refused', async () => {
  const agents = new StandaloneAgentAuthenticator([{ id: 1n, name: 'demo', tokenSha256: tokenHash('one') }]);
  for (const token of ['', 'on', 'onee', tokenHash('one').toString('hex')]) {
    assert.equal(agents.peek(token), undefined);
    await assert.rejects(agents.authenticate(token), { code: StatusCode.Unauthenticated, message: 'unauthenticated' });
  }
});

const impersonate = { username: 'u', groups: ['g'], uid: '7', extra: [{ key: 'k', val: ['v'] }] };
const alice: StandaloneUser = { name: 'alice', tokenSha256: tokenHash('a'), agents: [1n], accessAs: 'user' };
const users = new StandaloneUserAuthorizer([
  alice,
  { name: 'root', tokenSha256: tokenHash('r'), agents: '*', accessAs: 'agent' },
  { name: 'imp', tokenSha256: tokenHash('i'), agents: '*', accessAs: { impersonate } },
]);

function token(accessKey: string, agentId = 1n): UserCredential {
  return { agentId, accessType: 'personal_access_token', accessKey, csrfToken: '' };
}

test('access_as user: the names that GitLab gives', async () => {
  assert.deepEqual(await users.proxyUser(token('a')), {
    kind: 'standalone',
    name: 'alice',
    impersonation: {
      username: 'gitlab:user:alice',
      groups: ['gitlab:user'],
      uid: '',
      extra: [
        { key: 'agent.gitlab.com/id', val: ['1'] },
        { key: 'agent.gitlab.com/username', val: ['alice'] },
        { key: 'agent.gitlab.com/access_type', val: ['personal_access_token'] },
        { key: 'agent.gitlab.com/config_project_id', val: ['1'] },
      ],
    },
  });
});

test('access_as agent: no impersonation; impersonate: as written; any agent', () => {
  assert.deepEqual(users.peekProxyUser(token('r', 99n)), {
    kind: 'standalone',
    name: 'root',
    impersonation: undefined,
  });
  assert.deepEqual(users.peekProxyUser(token('i', 99n)), {
    kind: 'standalone',
    name: 'imp',
    impersonation: impersonate,
  });
});

const refused: [string, UserCredential, number][] = [
  ['an unknown token', token('x'), 401],
  ['an agent that is not the user’s', token('a', 2n), 403],
  ['a cookie', { ...token('a'), accessType: 'session_cookie' }, 401],
];
for (const [what, credential, status] of refused) {
  test(`refused: ${what}`, async () => {
    assert.equal(users.peekProxyUser(credential), undefined);
    const error = await users.proxyUser(credential).catch((e: unknown) => e);
    assert.equal(refusalStatus(error), status);
  });
}

test('refused: a CI job', async () => {
  assert.equal(users.peekCiJob(), undefined);
  const error = await users.ciJob().catch((e: unknown) => e);
  assert.equal(refusalStatus(error), 401);
});
