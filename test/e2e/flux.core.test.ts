// Pushes on their way from GitLab to agents with Flux (docs/protocol/flux.md).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  ReconcileProjectsRequestSchema,
  ReconcileProjectsResponseSchema,
} from '../../src/gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, type GrpcStream, grpcConnection } from '../support/grpc_client.ts';
import { ask } from '../support/http_client.ts';
import { type InternalCaller, internalCallers } from '../support/internal_api.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { eventually, within } from '../support/wait.ts';

const VERIFY = '/verify_project_access';

function follow(agent: GrpcConnection, projects: readonly string[], token?: string): GrpcStream {
  const call = agent.call('/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects', token === undefined ? {} : { token });
  call.sendMessage(ReconcileProjectsRequestSchema, { project: projects.map((id) => ({ id })) });
  call.halfClose();
  return call;
}

describe('pushes', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let agent: GrpcConnection;
  let rails: InternalCaller;
  let callers: InternalCaller[];
  let followers = 0;
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab, config: { observability: { logging: { level: 'debug' } } } });
    agent = await grpcConnection(server.endpoints.agent);
    callers = await internalCallers(server.endpoints.api, gitlab.secret);
    rails = callers[0] ?? assert.fail();
  });
  after(async () => {
    agent.close();
    for (const caller of callers) caller.close();
    await server.stop();
    await gitlab.close();
    assert.deepEqual(gitlab.problems, []);
  });

  const push = (fullPath: string) =>
    rails.call(Notifications.method.gitPushEvent, { event: { project: { id: 7n, fullPath } } });
  /** Nothing is heard before the subscription, so the tests wait for it. */
  const following = async (projects: readonly string[], token?: string) => {
    const call = follow(agent, projects, token);
    followers++;
    const started = () => server.log.filter(({ msg }) => msg === 'Started reconcile projects ...').length === followers;
    await eventually('the subscription', started);
    return call;
  };
  const told = async (call: GrpcStream) => (await call.nextMessage(ReconcileProjectsResponseSchema)).project?.id;

  test('agents hear of pushes to the projects that they name and may read', async () => {
    const one = await following(['group/app', 'group/other']);
    const two = await following(['group/app'], 'agent-token-2');
    await push('group/unheard-of');
    await push('group/app');
    assert.deepEqual(await Promise.all([told(one), told(two)]), ['group/app', 'group/app']);
    await push('group/other');
    assert.equal(await told(one), 'group/other');
    const asked = gitlab.requestsTo(VERIFY);
    assert.deepEqual(
      asked.map(({ target, headers }) => `${headers['gitlab-agent-api-request']} ${target.split('?')[1]}`).sort(),
      ['agent-token-1 id=group%2Fapp', 'agent-token-1 id=group%2Fother', 'agent-token-2 id=group%2Fapp'],
    );
    for (const { headers } of asked) {
      assert.equal(headers.authorization, `Bearer ${headers['gitlab-agent-api-request']}`);
    }
    one.cancel();
    two.cancel();
  });

  test('a project that an agent may not read is none of its business', async () => {
    const call = await following(['group/secret', 'group/open']);
    gitlab.fail(VERIFY, { status: 404 }, 1);
    await push('group/secret');
    await push('group/open');
    assert.equal(await told(call), 'group/open');
    await push('group/secret');
    await push('group/open');
    assert.equal(await told(call), 'group/open', '"no" is remembered');
    call.cancel();
  });

  test('a GitLab in trouble costs the push, not the stream', async () => {
    const call = await following(['group/flaky']);
    const troubles = [
      { status: 500 },
      { status: 503, contentType: 'text/html', body: '<p>' },
      { status: 302, headers: { location: '/' } },
      { status: 201 },
    ] as const;
    for (const [i, failure] of troubles.entries()) {
      gitlab.fail(VERIFY, failure, 1);
      await push('group/flaky');
      const failed = () => server.log.filter(({ level, msg }) => level === 'error' && /group\/flaky/.test(msg));
      await eventually('the log line', () => failed().length === i + 1);
      assert.equal(failed()[i]?.msg, 'Failed to check if project group/flaky is accessible by agent');
      assert.equal(failed()[i]?.agent_id, 1);
    }
    await push('group/flaky');
    assert.equal(await told(call), 'group/flaky');
    call.cancel();
  });

  test('pushes are counted', async () => {
    const { text } = await ask(server.endpoints.observability, { path: '/metrics' });
    assert.match(text, /^flux_git_push_notifications_total [1-9]/m);
    assert.match(text, /^flux_dropped_git_push_notifications_total 0$/m);
  });

  test('a request that makes no sense is refused', async () => {
    const empty = follow(agent, ['']);
    assert.deepEqual(await empty.status, {
      code: 3,
      message:
        'invalid ReconcileProjectsRequest.Project[0]: embedded message failed validation | caused by: invalid Project.Id: value length must be at least 1 bytes',
    });
    assert.equal((await follow(agent, ['g/p'], 'nobody').status).code, 16);
  });
});

test('the streams end well when the server leaves', async () => {
  const gitlab = await startGitLab();
  const server = await startServer({ gitlab, config: { observability: { logging: { level: 'debug' } } } });
  const agent = await grpcConnection(server.endpoints.agent);
  const call = follow(agent, []);
  await server.waitForLog('of the subscription', ({ msg }) => msg === 'Started reconcile projects ...');
  const stopped = server.stop();
  assert.deepEqual(await within('the end of the stream', 10_000, call.status), { code: 0, message: '' });
  agent.close();
  await stopped;
  await gitlab.close();
});

test('a server without GitLab says that nobody tells it of pushes', async () => {
  const server = await startServer();
  const agent = await grpcConnection(server.endpoints.agent);
  assert.deepEqual(await follow(agent, []).status, {
    code: 12,
    message: 'this server has no GitLab that could tell of pushes',
  });
  agent.close();
  await server.stop();
});
