// Manifests for agents before 17.0 when something on the way fails, stalls or ages (docs/protocol/gitops.md).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  ObjectsToSynchronizeRequestSchema,
  ObjectsToSynchronizeResponseSchema,
} from '../../src/gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { type FakeGitaly, startGitaly } from '../support/gitaly/gitaly.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, type GrpcStream, grpcConnection } from '../support/grpc_client.ts';
import { internalCallers } from '../support/internal_api.ts';
import type { ConfigTree } from '../support/kas_config.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { delay, eventually, within } from '../support/wait.ts';

const PROJECT_INFO = '/internal/kubernetes/project_info';
const paths = [{ path: { case: 'glob' as const, value: '**/*.yaml' } }];

describe('pull-based GitOps in trouble', () => {
  let gitaly: FakeGitaly;
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let connection: GrpcConnection;
  let id = 300;

  async function startKas(config: ConfigTree): Promise<RunningServer> {
    const gitops = { poll_period: '600s' };
    return await startServer({ gitlab, config: { agent: { gitops }, ...config } });
  }

  before(async () => {
    gitaly = await startGitaly();
    gitlab = await startGitLab();
    server = await startKas({ observability: { usage_reporting_period: '0.2s' } });
    connection = await grpcConnection(server.endpoints.agent);
  });

  after(async () => {
    connection.close();
    await server.stop();
    await gitlab.close();
    await gitaly.close();
    assert.deepEqual(gitlab.problems, []);
    assert.deepEqual(gitaly.problems, []);
  });

  /** An agent of its own, and the repository that it deploys from. */
  async function newAgent() {
    id++;
    const token = `agent-token-${id}`;
    const path = `group/manifests-${id}`;
    const repository = await gitaly.createRepository(`p/${id}.git`);
    const place = { address: gitaly.address, token: gitaly.token };
    const project = { path, repositoryPath: repository.relativePath, gitaly: place };
    gitlab.agents.set(token, { id, name: `agent-${id}`, projectId: 1000 + id, project });
    const open = (
      request: MessageInitShape<typeof ObjectsToSynchronizeRequestSchema> = {},
      over: GrpcConnection = connection,
    ) => {
      const call = over.call('/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize', { token });
      call.sendMessage(ObjectsToSynchronizeRequestSchema, { projectId: path, paths, ...request });
      call.halfClose();
      return call;
    };
    return { id, token, path, repository, open };
  }

  const ended = async (call: GrpcStream) => {
    const { code, message } = await within('the end of the call', 10_000, call.status);
    return `${code} ${message}`;
  };

  /** The bytes of each file that came, up to the trailer. */
  async function objects(call: GrpcStream): Promise<Record<string, number>> {
    const bytes: Record<string, number> = {};
    for (;;) {
      const { message } = await call.nextMessage(ObjectsToSynchronizeResponseSchema);
      if (message.case === 'trailer') return bytes;
      if (message.case !== 'object') continue;
      const { source, data } = message.value;
      bytes[source] = (bytes[source] ?? 0) + data.length;
    }
  }

  const lineOf = (msg: string, path: string) =>
    server.waitForLog(msg, (line) => line.msg === msg && line.project_id === path);

  async function push(fullPath: string): Promise<void> {
    const callers = await internalCallers(server.endpoints.api, gitlab.secret);
    await callers[0]!.call(Notifications.method.gitPushEvent, { event: { project: { id: 1n, fullPath } } });
    for (const caller of callers) caller.close();
  }

  test('an empty repository is waited for, and its first push is delivered', async () => {
    const agent = await newAgent();
    const call = agent.open();
    const line = await lineOf('GitOps: empty repository', agent.path);
    assert.deepEqual([line.level, line.agent_id, line.git_ref], ['debug', agent.id, 'HEAD']);
    await agent.repository.commit({ 'a.yaml': 'kind: A\n' });
    await push(agent.path);
    assert.deepEqual(await objects(call), { 'a.yaml': 8 });
    assert.equal(await ended(call), '0 ');
  });

  test('Gitaly goes down and comes back: the agent waits, and has the commit within seconds', async () => {
    const agent = await newAgent();
    await agent.repository.commit({ 'a.yaml': 'kind: A\n' });
    await gitaly.goDown();
    const call = agent.open();
    const failed = await lineOf('GitOps: repository poll failed', agent.path);
    assert.deepEqual([failed.level, failed.agent_id], ['error', agent.id]);
    assert.match(String(failed.error), /^RpcError: InfoRefsUploadPack: RPC failed: .*connection refused"$/);
    await gitaly.comeBack();
    assert.equal((await call.nextMessage(ObjectsToSynchronizeResponseSchema, 5000)).message.case, 'header');
    assert.deepEqual(await objects(call), { 'a.yaml': 8 });
  });

  test('Gitaly fails in the middle: the stream ends as Unavailable, and is not counted', async () => {
    const agent = await newAgent();
    await agent.repository.commit({ 'a.yaml': 'kind: A\n' });
    const recover = gitaly.fail('/TreeEntry', { code: 13, message: 'disk on fire' });
    const call = agent.open();
    assert.equal((await call.nextMessage(ObjectsToSynchronizeResponseSchema)).message.case, 'header');
    assert.equal(await ended(call), '14 GitOps: failed to get objects to synchronize');
    recover();
    const line = await lineOf('GitOps: failed to get objects to synchronize', agent.path);
    assert.equal(line.level, 'error');
    assert.match(String(line.error), /TreeEntry.*disk on fire/);
  });

  for (const [status, outcome] of [
    [401, '16 unauthenticated'],
    [403, '7 forbidden'],
    [404, '5 project not found'],
  ] as const) {
    test(`a project_info that is answered with ${status} ends the stream, and is remembered`, async () => {
      const agent = await newAgent();
      const recover = gitlab.fail(PROJECT_INFO, { status, body: '{"message":"no"}' });
      const before = gitlab.requestsTo(PROJECT_INFO).length;
      assert.equal(await ended(agent.open()), outcome);
      assert.equal(await ended(agent.open()), outcome);
      recover();
      assert.equal(gitlab.requestsTo(PROJECT_INFO).length, before + 1);
      const line = await lineOf('GitOps: failed to get project info', agent.path);
      assert.deepEqual([line.level, line.agent_id, line.project_id], ['warn', agent.id, agent.path]);
      assert.match(String(line.error), new RegExp(`HTTP status code: ${status} for path .*/project_info`));
    });
  }

  test('a GitLab in trouble does not end the stream: a push asks again', async () => {
    const agent = await newAgent();
    await agent.repository.commit({ 'a.yaml': 'kind: A\n' });
    const recover = gitlab.fail(PROJECT_INFO, { status: 502, body: '' });
    const call = agent.open();
    const line = await lineOf('GitOps: failed to get project info', agent.path);
    assert.deepEqual([line.level, line.agent_id], ['warn', agent.id]);
    assert.match(String(line.error), /HTTP status code: 502/);
    recover();
    await push(agent.path);
    assert.deepEqual(await objects(call), { 'a.yaml': 8 });
  });

  test('each commit that is delivered counts once', async () => {
    const synchronizations = () =>
      gitlab
        .requestsTo('/usage_metrics')
        .map(({ body }) => (JSON.parse(body) as { counters?: Record<string, number> }).counters?.gitops_sync ?? 0)
        .reduce((sum, count) => sum + count, 0);
    const agent = await newAgent();
    await agent.repository.commit({ 'a.yaml': 'kind: A\n' });
    await delay(500); // what others of this file have counted is told by now
    const before = synchronizations();
    for (let i = 0; i < 3; i++) assert.deepEqual(await objects(agent.open()), { 'a.yaml': 8 });
    await eventually('the report', () => synchronizations() === before + 3);
  });

  test('an agent that does not read stops its own stream, and nobody else’s', async () => {
    const agent = await newAgent();
    const files = Array.from({ length: 20 }, (_, i) => [`${String(i).padStart(2, '0')}.yaml`, 'x'.repeat(300_000)]);
    await agent.repository.commit(Object.fromEntries(files) as Record<string, string>);
    const reads = () => gitaly.calls.filter(({ path }) => path.endsWith('/TreeEntry')).length;
    const before = reads();
    const stalledOn = await grpcConnection(server.endpoints.agent);
    const stalled = agent.open({}, stalledOn);
    stalled.stream.pause();
    await eventually('the first files', () => reads() > before);
    await delay(1000);
    const read = reads();
    assert.ok(read - before < 5, `${read - before} files were read for an agent that takes none`);
    const other = agent.open();
    assert.equal(Object.keys(await objects(other)).length, files.length);
    stalled.stream.resume();
    const sizes = await objects(stalled);
    assert.deepEqual(new Set(Object.values(sizes)), new Set([300_000]));
    assert.equal(await ended(stalled), '0 ');
    const gone = agent.open({}, stalledOn);
    gone.stream.pause();
    await lineOf('GitOps: new commit', agent.path);
    stalledOn.close(); // the server's end in `after` shows that nothing of it is left
  });

  test('an old connection ends a stream that waits with OK, and lets one that delivers finish', async () => {
    const aging = await startKas({ agent: { gitops: {}, listen: { max_connection_age: '10s' } } });
    try {
      const agent = await newAgent();
      const files = Array.from({ length: 12 }, (_, i) => [`${i}.yaml`, 'x'.repeat(300_000)]);
      const commitId = await agent.repository.commit(Object.fromEntries(files) as Record<string, string>);
      const old = await grpcConnection(aging.endpoints.agent);
      const waiting = agent.open({ commitId }, old);
      const delivering = agent.open({}, old);
      delivering.stream.pause();
      assert.equal(await ended(waiting), '0 ');
      assert.equal(await waiting.next(), undefined);
      delivering.stream.resume();
      assert.equal(Object.keys(await objects(delivering)).length, files.length);
      assert.equal(await ended(delivering), '0 ');
      old.close();
    } finally {
      await aging.stop();
    }
  });
});
