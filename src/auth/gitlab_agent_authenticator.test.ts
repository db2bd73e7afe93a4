import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { recordingLog } from '../../test/support/recording_log.ts';
import { GetAgentInfoResponseSchema } from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { GitLabClient } from '../gitlab/client.ts';
import { GitLabError } from '../gitlab/gitlab_error.ts';
import { AppError } from '../runtime/app_error.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { GitLabAgentAuthenticator } from './gitlab_agent_authenticator.ts';

const never = { signal: new AbortController().signal };
const response = create(GetAgentInfoResponseSchema, {
  agentId: 7n,
  projectId: 8n,
  agentName: 'prod',
  gitalyInfo: { address: 'tcp://gitaly' },
  gitalyRepository: { glProjectPath: 'group/project' },
  defaultBranch: 'main',
});

function setUp(agentInfo: GitLabClient['agentInfo']) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const errors = createMemoryStore({ clock }).errorCache;
  const times = { infoCacheTtlMs: 1000, infoCacheErrorTtlMs: 1000 };
  return { agents: new GitLabAgentAuthenticator({ gitlab: { agentInfo }, clock, errors, log, ...times }), lines };
}

test('an agent is who GitLab says, without asking twice', async () => {
  const tokens: string[] = [];
  const { agents } = setUp((token) => {
    tokens.push(token);
    return Promise.resolve(response);
  });
  assert.equal(agents.peek('token'), undefined);
  const info = await agents.authenticate('token', never);
  assert.deepEqual(info, {
    id: 7n,
    projectId: 8n,
    name: 'prod',
    projectPath: 'group/project',
    repository: { gitaly: response.gitalyInfo, repository: response.gitalyRepository, defaultBranch: 'main' },
  });
  assert.equal(agents.peek('token'), info);
  assert.equal(await agents.authenticate('token', never), info);
  assert.deepEqual(tokens, ['token']);
});

const refusals: [number, StatusCode, string][] = [
  [401, StatusCode.Unauthenticated, 'unauthenticated'],
  [403, StatusCode.PermissionDenied, 'forbidden'],
  [404, StatusCode.NotFound, 'agent not found'],
];
for (const [status, code, message] of refusals) {
  test(`GitLab's ${status} is ${message}, and no matter for the log`, async () => {
    const { agents, lines } = setUp(() => Promise.reject(new GitLabError(status, '/path')));
    await assert.rejects(agents.authenticate('token', never), { name: 'AppError', code, message });
    assert.deepEqual(lines, []);
  });
}

test('any other failure is unavailable to the agent and whole in the log, once for all who wait', async () => {
  const failure = new AppError(StatusCode.Unavailable, 'connect ECONNREFUSED', { hint: 'is it up?' });
  const { agents, lines } = setUp(() => Promise.reject(failure));
  const unavailable = { code: StatusCode.Unavailable, message: 'unavailable' };
  await Promise.all([
    assert.rejects(agents.authenticate('token', { ...never, correlationId: 'id-1', method: '/s/M' }), unavailable),
    assert.rejects(agents.authenticate('token', never), unavailable),
  ]);
  assert.deepEqual(lines, [
    {
      level: 'error',
      message: 'GetAgentInfo()',
      fields: {
        grpc_service: 's',
        grpc_method: 'M',
        error: 'connect ECONNREFUSED',
        hint: 'is it up?',
        correlation_id: 'id-1',
        trace_id: undefined,
      },
    },
  ]);
});

const reasons: [unknown, StatusCode, string][] = [
  [new Error('stream closed'), StatusCode.Canceled, 'context canceled'],
  [new DOMException('late', 'TimeoutError'), StatusCode.DeadlineExceeded, 'context deadline exceeded'],
  [new AppError(StatusCode.Unavailable, 'shutting down'), StatusCode.Unavailable, 'shutting down'],
];
for (const [reason, code, message] of reasons) {
  test(`a caller that leaves hears ${message}, the log nothing`, async () => {
    const { agents, lines } = setUp(
      (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    );
    const controller = new AbortController();
    const call = agents.authenticate('token', { signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await assert.rejects(call, { code, message });
    assert.deepEqual(lines, []);
  });
}
