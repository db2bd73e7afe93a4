// Manifests for agents before 17.0: from a real repository, through a Gitaly that reads it with git (docs/protocol/gitops.md).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  ObjectsToSynchronizeRequestSchema,
  ObjectsToSynchronizeResponseSchema,
} from '../../src/gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { type FakeGitaly, startGitaly } from '../support/gitaly/gitaly.ts';
import type { TestRepository } from '../support/gitaly/repository.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, type GrpcStream, grpcConnection } from '../support/grpc_client.ts';
import { type InternalCaller, internalCallers } from '../support/internal_api.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { eventually, within } from '../support/wait.ts';

const PROJECT = 'group/manifests';
const TOKEN = 'gitops-agent-token';

describe('pull-based GitOps', () => {
  let gitaly: FakeGitaly;
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let agent: GrpcConnection;
  let callers: InternalCaller[];
  let repository: TestRepository;
  let head: string;

  before(async () => {
    gitaly = await startGitaly();
    gitlab = await startGitLab();
    repository = await gitaly.createRepository('p/manifests.git');
    gitlab.agents.set(TOKEN, {
      id: 77,
      name: 'old',
      projectId: 1077,
      project: {
        path: PROJECT,
        repositoryPath: repository.relativePath,
        gitaly: { address: gitaly.address, token: gitaly.token },
      },
    });
    head = await repository.commit({
      'top.yaml': 'kind: Top\n',
      'm/a.yaml': 'kind: A\n',
      'm/deep/b.yml': 'kind: B\n',
      'm/.hidden/c.yaml': 'kind: C\n',
      'm/large.json': Buffer.alloc(200_000, 'x'),
      'm/notes.txt': 'none',
    });
    const gitops = { poll_period: '600s', max_number_of_files: 20, max_manifest_file_size: 300_000 };
    server = await startServer({ gitlab, config: { agent: { gitops } } });
    agent = await grpcConnection(server.endpoints.agent);
    callers = await internalCallers(server.endpoints.api, gitlab.secret);
  });

  after(async () => {
    for (const caller of callers) caller.close();
    agent.close();
    await server.stop();
    await gitlab.close();
    await gitaly.close();
    assert.deepEqual(gitlab.problems, []);
    assert.deepEqual(gitaly.problems, []);
  });

  function open(request: MessageInitShape<typeof ObjectsToSynchronizeRequestSchema>): GrpcStream {
    const call = agent.call('/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize', { token: TOKEN });
    call.sendMessage(ObjectsToSynchronizeRequestSchema, { projectId: PROJECT, ...request });
    call.halfClose();
    return call;
  }

  const glob = (value: string) => ({ path: { case: 'glob' as const, value } });
  const file = (value: string) => ({ path: { case: 'file' as const, value } });
  const ended = async (call: GrpcStream) => {
    const { code, message } = await within('the end of the call', 10_000, call.status);
    return `${code} ${message}`;
  };

  /** Header and objects, up to the trailer and OK. */
  async function batch(call: GrpcStream) {
    const objects: [source: string, bytes: number][] = [];
    const first = (await call.nextMessage(ObjectsToSynchronizeResponseSchema)).message;
    assert.ok(first.case === 'header');
    for (;;) {
      const { message } = await call.nextMessage(ObjectsToSynchronizeResponseSchema);
      if (message.case !== 'object') {
        assert.equal(message.case, 'trailer');
        break;
      }
      objects.push([message.value.source, message.value.data.length]);
    }
    assert.equal(await ended(call), '0 ');
    return { commitId: first.value.commitId, projectId: first.value.projectId, objects };
  }

  const looked = () => server.log.filter(({ msg }) => msg === 'GitOps: no updates').length;

  test('an agent gets the files that its globs match, then those that it names', async () => {
    const call = open({ paths: [file('m/notes.txt'), glob('/**/*.{yaml,yml,json}')] });
    assert.deepEqual(await batch(call), {
      commitId: head,
      projectId: 1077n,
      objects: [
        ['m/a.yaml', 8],
        ['m/deep/b.yml', 8],
        ['m/large.json', 128 << 10],
        ['m/large.json', 200_000 - (128 << 10)],
        ['top.yaml', 10],
        ['m/notes.txt', 4],
      ],
    });
    const line = await server.waitForLog('fetched files', ({ msg }) => msg === 'GitOps: fetched files');
    assert.deepEqual(
      [line.agent_id, line.project_id, line.commit_id, line.git_ref, line.files_visited, line.files_sent],
      [77, PROJECT, head, 'HEAD', 7, 5],
    );
  });

  test('without a special character in front of the last slash only that folder is looked at', async () => {
    assert.deepEqual((await batch(open({ paths: [glob('m/*.y*ml')] }))).objects, [['m/a.yaml', 8]]);
    assert.deepEqual((await batch(open({ paths: [glob('*.yaml')] }))).objects, [['top.yaml', 10]]);
  });

  test('a push brings the next commit to an agent that waits', async () => {
    const before = looked();
    const call = open({ commitId: head, paths: [file('top.yaml')] });
    await eventually('the first look', () => looked() > before);
    head = await repository.commit({ 'top.yaml': 'kind: Newer\n' });
    const [rails] = callers;
    await rails!.call(Notifications.method.gitPushEvent, { event: { project: { id: 1077n, fullPath: PROJECT } } });
    const { commitId, objects } = await batch(call);
    assert.deepEqual([commitId, objects], [head, [['top.yaml', 12]]]);
  });

  test('tags, branches and commits', async () => {
    await repository.git(['tag', 'v1', 'main']);
    const other = await repository.commit({ 'other.yaml': 'a' }, 'other');
    const paths = [file('top.yaml')];
    const tag = await batch(open({ paths, ref: { ref: { case: 'tag', value: 'v1' } } }));
    const commit = await batch(open({ paths, ref: { ref: { case: 'commit', value: head } } }));
    assert.deepEqual([tag.commitId, commit.commitId], [head, head]);
    const branch = open({ paths: [file('other.yaml')], ref: { ref: { case: 'branch', value: 'other' } } });
    assert.equal((await batch(branch)).commitId, other);
    const missing = open({ paths, ref: { ref: { case: 'branch', value: 'nope' } } });
    const text = 'NotFound: InfoRefsUploadPack: file/directory/ref not found: refs/heads/nope';
    assert.equal(await ended(missing), `5 GitOps: repository poll failed: ${text}`);
    const before = looked();
    const same = open({ commitId: head, paths, ref: { ref: { case: 'commit', value: head } } });
    await eventually('the look', () => looked() > before);
    same.cancel();
  });

  test('what cannot be delivered ends the stream with the reason', async () => {
    const failed = '9 GitOps: failed to get objects to synchronize: manifest file: ';
    const missing = await ended(open({ paths: [file('nope.yaml')] }));
    assert.equal(missing.startsWith(`${failed}NotFound: TreeEntry`), true, missing);
    assert.equal(await ended(open({ paths: [glob('[a')] })), `${failed}glob [a match failed: syntax error in pattern`);
    assert.equal(
      await ended(open({ paths: [glob('m/*.yaml'), glob('m/a*')] })),
      `${failed}path visited more than once: m/a.yaml`,
    );
    await repository.commit({ 'large/file': Buffer.alloc(300_001) }, 'large');
    const ref = { ref: { case: 'branch' as const, value: 'large' } };
    const large = await ended(open({ ref, paths: [file('large/file')] }));
    assert.equal(large.startsWith(`${failed}FileTooBig: TreeEntry`), true, large);
    const many = Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`many/${i}`, 'x']));
    await repository.commit(many, 'large');
    assert.equal(
      await ended(open({ ref, paths: [glob('many/*.yaml')] })),
      `${failed}maximum number of files limit reached: 20`,
    );
  });

  test('a request that makes no sense is refused', async () => {
    const invalid = 'invalid ObjectsToSynchronizeRequest';
    assert.equal(await ended(open({})), `3 ${invalid}.Paths: value must contain at least 1 item(s)`);
    assert.equal(
      await ended(open({ paths: [glob('')] })),
      `3 ${invalid}.Paths[0]: embedded message failed validation | caused by: invalid PathCF.Glob: value length must be at least 1 bytes`,
    );
    assert.equal(
      await ended(open({ paths: Array.from({ length: 101 }, () => file('a')) })),
      '3 maximum number of GitOps paths per manifest project is 100, but 101 was requested',
    );
  });

  test('a project that the agent may not know ends the stream, with a warning', async () => {
    const projectId = 'group/secret';
    assert.equal(await ended(open({ projectId, paths: [file('a')] })), '5 project not found');
    const line = await server.waitForLog('the warning', ({ msg }) => msg === 'GitOps: failed to get project info');
    assert.deepEqual([line.level, line.agent_id, line.project_id], ['warn', 77, projectId]);
    assert.match(String(line.error), /404.*project_info/);
  });
});
