import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromJson } from '@bufbuild/protobuf';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { ScriptedUsers } from '../../../test/support/scripted_users.ts';
import { silentLog } from '../../../test/support/silent_log.ts';
import type { ProxyUser, UserAuthorizer, UserCredential } from '../../auth/user_authorizer.ts';
import {
  AllowedAgentsForJobSchema,
  AuthorizeProxyUserResponseSchema,
} from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { Log } from '../../observability/log.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { Gatekeeper } from './authorize.ts';
import type { Credentials } from './credentials.ts';
import { UserLoad } from './user_load.ts';

const asking = { signal: () => new AbortController().signal, correlationId: () => 'id-1' };

function session(...cookies: string[]): Credentials {
  return { kind: 'session_cookie', agentId: 1n, cookies, csrfToken: 'good-csrf' };
}

test('a known answer is used at once, and encoded once', async () => {
  const users = new ScriptedUsers();
  const gatekeeper = new Gatekeeper(users, silentLog);
  const credentials = { kind: 'ci_job', agentId: 1n, token: 'job-ci' } as const;
  const first = await gatekeeper.authorize(credentials, asking);
  const again = gatekeeper.authorize(credentials, {
    signal: () => assert.fail('nothing to wait for'),
    correlationId: () => assert.fail('nothing to name'),
  });
  assert.ok(!(again instanceof Promise) && again.kind === 'allowed' && first.kind === 'allowed');
  assert.ok(again.extra !== undefined && again.extra === first.extra);
  assert.deepEqual(users.asked, ['ci 1']);
  assert.deepEqual([again.accessForm, again.userId, again.projectId, again.viaCookie], ['ci_access', 22n, 55n, false]);
});

test('one answer about a job is judged for each agent', async () => {
  const gatekeeper = new Gatekeeper(new ScriptedUsers(), silentLog);
  const ask = async (agentId: bigint) => gatekeeper.authorize({ kind: 'ci_job', agentId, token: 'job-ci' }, asking);
  const one = await ask(1n);
  const two = await ask(2n);
  assert.ok(one.kind === 'allowed' && two.kind === 'allowed');
  assert.equal(two.agentId, 2n);
  assert.notDeepEqual(one.extra, two.extra);
  for (const id of [21n, 0n, -1n]) {
    assert.deepEqual(await ask(id), { kind: 'refused', status: 403, message: 'Forbidden: agentId is not allowed' });
  }
});

test('cookies are tried in turn until GitLab takes one', async () => {
  const users = new ScriptedUsers();
  const gatekeeper = new Gatekeeper(users, silentLog);
  const decision = await gatekeeper.authorize(session('bad', 'good-cookie', 'other'), asking);
  assert.ok(decision.kind === 'allowed');
  assert.deepEqual([decision.viaCookie, decision.accessForm, decision.projectId], [true, 'user_access', 1001n]);
  assert.deepEqual(users.asked, ['bad', 'good-cookie']);
  const again = gatekeeper.authorize(session('bad', 'good-cookie', 'other'), asking);
  assert.ok(!(again instanceof Promise), 'the one that is known wins without asking about the others');
});

test('cookies that GitLab does not take', async () => {
  const gatekeeper = new Gatekeeper(new ScriptedUsers(), silentLog);
  const refused = { kind: 'refused', status: 401, message: 'Unauthorized' };
  assert.deepEqual(await gatekeeper.authorize(session('bad', 'worse'), asking), refused);
  assert.deepEqual(await gatekeeper.authorize(session('st-403-x', 'st-404-x'), asking), refused);
});

test('a failure to find out is no refusal, and ends the search', async () => {
  const users = new ScriptedUsers();
  const failed = { kind: 'refused', status: 500, message: 'Failed to authorize user session' };
  const decision = await new Gatekeeper(users, silentLog).authorize(session('st-500-x', 'good-cookie'), asking);
  assert.deepEqual(decision, failed);
  assert.deepEqual(users.asked, ['st-500-x']);
});

test('an agent id that cannot exist is not asked about', async () => {
  const users = new ScriptedUsers();
  const credentials = { kind: 'personal_access_token', agentId: -1n, token: 'good-pat' } as const;
  const { log, lines } = recordingLog();
  const decision = await new Gatekeeper(users, log).authorize(credentials, asking);
  assert.deepEqual(decision, { kind: 'refused', status: 500, message: 'Failed to authorize user session' });
  assert.deepEqual(users.asked, []);
  assert.match(String(lines[0]?.fields.hint), /^the client has sent an agent id/);
});

/** Knows one user, whatever is shown. */
function oneUser(user: ProxyUser | Error): UserAuthorizer {
  return {
    ciJob: () => Promise.reject(new Error('not here')),
    peekCiJob: () => undefined,
    proxyUser: () => (user instanceof Error ? Promise.reject(user) : Promise.resolve(user)),
    peekProxyUser: (_: UserCredential) => undefined,
  };
}

const pat = { kind: 'personal_access_token', agentId: 1n, token: 't' } as const;

test('an answer about another agent opens nothing', async () => {
  const response = fromJson(AuthorizeProxyUserResponseSchema, {
    agent: { id: 2, config_project: { id: 3 } },
    user: { id: 4, username: 'eve' },
    access_as: { agent: {} },
  });
  const { log, lines } = recordingLog();
  const decision = await new Gatekeeper(oneUser({ kind: 'gitlab', response }), log).authorize(pat, asking);
  const message = 'Failed to construct user impersonation config';
  assert.deepEqual(decision, { kind: 'refused', status: 500, message });
  assert.deepEqual(
    lines.map(({ level, message: told, fields }) => [level, told, fields.error]),
    [['error', message, 'GitLab answered about another agent']],
  );
});

test('a job whose identity is unknown here opens nothing', async () => {
  const answer = fromJson(AllowedAgentsForJobSchema, {
    allowed_agents: [{ id: 1, config_project: { id: 8 }, configuration: { access_as: { ci_job: {} } } }],
    job: { id: 3 },
  });
  const users = { ...oneUser(new Error('not here')), ciJob: () => Promise.resolve(answer) };
  const { log, lines } = recordingLog();
  const job = { kind: 'ci_job', agentId: 1n, token: 't' } as const;
  const message = 'Failed to construct impersonation config';
  const decision = await new Gatekeeper(users, log).authorize(job, asking);
  assert.deepEqual(decision, { kind: 'refused', status: 500, message });
  assert.deepEqual(
    lines.map(({ level, message: told, fields }) => [level, told, fields.error]),
    [['error', message, 'answer about the identity to use is incomplete']],
  );
});

test('one standalone user may use several agents, each under its own id', async () => {
  const user: ProxyUser = { kind: 'standalone', name: 'alice', impersonation: undefined };
  const gatekeeper = new Gatekeeper(oneUser(user), silentLog);
  for (const agentId of [1n, 2n, 1n]) {
    const decision = await gatekeeper.authorize({ ...pat, agentId }, asking);
    assert.deepEqual(decision, {
      kind: 'allowed',
      agentId,
      extra: undefined,
      viaCookie: false,
      accessForm: 'pat_access',
      userId: undefined,
      projectId: undefined,
      load: new UserLoad('alice'),
    });
  }
});

test('all requests of a user add up, whatever the agent', async () => {
  const gatekeeper = new Gatekeeper(
    oneUser({ kind: 'standalone', name: 'alice', impersonation: undefined }),
    silentLog,
  );
  const loads = [];
  for (const agentId of [1n, 2n]) {
    const decision = await gatekeeper.authorize({ ...pat, agentId }, asking);
    loads.push(decision.kind === 'allowed' ? decision.load : undefined);
  }
  assert.ok(loads[0] !== undefined && loads[0] === loads[1]);
});

test('who goes away is no error in the log', async () => {
  const lines: string[] = [];
  const log: Log = { ...silentLog, error: (message) => void lines.push(message) };
  const errors = [new AppError(StatusCode.Canceled, 'context canceled'), new DOMException('gone', 'AbortError')];
  for (const error of errors) await new Gatekeeper(oneUser(error), log).authorize(pat, asking);
  assert.deepEqual(lines, []);
  await new Gatekeeper(oneUser(new AppError(StatusCode.Unavailable, 'down')), log).authorize(pat, asking);
  assert.deepEqual(lines, ['Failed to authorize user session']);
});
