// Agents' configuration: from a real repository, through a Gitaly that reads it with git, to the agent and to GitLab.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { ConfigurationProject } from '../../src/gen/gitlab/agent/configuration_project/rpc/configuration_project_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { type FakeGitaly, startGitaly } from '../support/gitaly/gitaly.ts';
import type { TestRepository } from '../support/gitaly/repository.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import type { AgentRow } from '../support/gitlab/tables.ts';
import { type GrpcConnection, type GrpcStream, grpcConnection } from '../support/grpc_client.ts';
import { type InternalCaller, internalCallers } from '../support/internal_api.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { eventually, within } from '../support/wait.ts';

const PATH = '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';
/** Far below the poll period: what comes within it was pushed. */
const SOON_MS = 1000;

describe('agent configuration', () => {
  let gitaly: FakeGitaly;
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let agents: GrpcConnection;
  let callers: InternalCaller[];
  let id = 100;

  before(async () => {
    gitaly = await startGitaly();
    gitlab = await startGitLab();
    const agent = { configuration: { poll_period: '600s' }, info_cache_ttl: '0s' };
    server = await startServer({ gitlab, config: { agent } });
    agents = await grpcConnection(server.endpoints.agent);
    callers = await internalCallers(server.endpoints.api, gitlab.secret);
  });

  after(async () => {
    for (const caller of callers) caller.close();
    agents.close();
    await server.stop();
    await gitlab.close();
    await gitaly.close();
    assert.deepEqual(gitlab.problems, []);
    assert.deepEqual(gitaly.problems, []);
  });

  /** An agent of its own with a repository of its own. */
  async function newAgent(more: { name?: string } = {}) {
    id++;
    const token = `agent-token-${id}`;
    const name = more.name ?? `agent-${id}`;
    const repository = await gitaly.createRepository(`p/${id}.git`);
    const projectPath = `group/project-${id}`;
    const row: AgentRow = {
      id,
      name,
      projectId: 1000 + id,
      project: { path: projectPath, repositoryPath: repository.relativePath, gitaly: place() },
    };
    gitlab.agents.set(token, row);
    const file = `.gitlab/agents/${name}/config.yaml`;
    return { id, token, name, row, repository, projectPath, file, write: commitsTo(repository, file) };
  }

  const place = () => ({ address: gitaly.address, token: gitaly.token });

  function commitsTo(repository: TestRepository, file: string) {
    return (content: string | Buffer | null) => repository.commit({ [file]: content });
  }

  function open(token: string, commitId = ''): GrpcStream {
    const call = agents.call(PATH, { token, gzip: true });
    call.sendMessage(ConfigurationRequestSchema, { commitId, skipRegister: true });
    call.halfClose();
    return call;
  }

  async function push(fullPath: string): Promise<void> {
    const [caller] = callers;
    const reply = await caller!.call(Notifications.method.gitPushEvent, { event: { project: { id: 1n, fullPath } } });
    assert.equal(reply.status.code, 0);
  }

  const told = (agentId: number) =>
    gitlab
      .requestsTo('/internal/kubernetes/agent_configuration')
      .map(({ body }) => JSON.parse(body) as { agent_id: string; agent_config: unknown })
      .filter(({ agent_id }) => agent_id === String(agentId))
      .map(({ agent_config }) => agent_config);

  const refusal = async (call: GrpcStream) => {
    const { code, message } = await within('the end of the call', 10_000, call.status);
    return `${code} ${message}`;
  };

  test('the agent gets what concerns it, GitLab the whole file', async () => {
    const agent = await newAgent();
    const yaml = 'observability: {logging: {level: debug}}\nci_access: {projects: [{id: a, newer: yes}]}\n';
    const commitId = await agent.write(`${yaml}user_access: {projects: [{id: b}]}\n`);
    const call = open(agent.token);
    const { configuration, commitId: sent } = await call.nextMessage(ConfigurationResponseSchema);
    assert.equal(sent, commitId);
    assert.deepEqual(
      [configuration?.agentId, configuration?.projectPath, configuration?.gitlabExternalUrl],
      [BigInt(agent.id), agent.projectPath, 'http://gitlab.example'],
    );
    assert.equal(configuration?.observability?.logging?.level, 1);
    assert.deepEqual(
      configuration?.ciAccess?.projects.map((project) => project.id),
      ['a'],
    );
    await eventually('the report to GitLab', () => told(agent.id).length > 0);
    assert.deepEqual(told(agent.id), [
      {
        observability: { logging: { level: 'debug' } },
        ci_access: { projects: [{ id: 'a', newer: true }] },
        user_access: { projects: [{ id: 'b' }] },
      },
    ]);
    const line = await server.waitForLog(
      'unknown keys',
      ({ commit_id, keys }) => commit_id === commitId && keys !== undefined,
    );
    assert.deepEqual([line.keys, line.file], [['ci_access.projects[0].newer (line 2)'], agent.file]);
    call.cancel();
  });

  test('a push brings a change at once, to each pod; an agent that has the commit gets nothing', async () => {
    const agent = await newAgent();
    const first = await agent.write('flux: {webhook_receiver_url: http://one}');
    const calls = [open(agent.token, first), open(agent.token, first)];
    const polls = () => server.log.filter(({ msg, agent_id }) => msg === 'Config: no updates' && agent_id === agent.id);
    await eventually('both polls', () => polls().length === 2);
    const second = await agent.write('flux: {webhook_receiver_url: http://two}');
    await push('group/elsewhere');
    await push(agent.projectPath);
    for (const call of calls) {
      const { commitId, configuration } = await call.nextMessage(ConfigurationResponseSchema, SOON_MS);
      assert.deepEqual([commitId, configuration?.flux?.webhookReceiverUrl], [second, 'http://two']);
      call.cancel();
    }
    await eventually('the report to GitLab', () => told(agent.id).length > 0);
    assert.equal(told(agent.id).length, 1);
  });

  test('an empty repository is waited for; a missing file is an empty configuration', async () => {
    const agent = await newAgent();
    const call = open(agent.token);
    await server.waitForLog(
      'the empty repository',
      ({ msg, agent_id }) => msg === 'Config: empty repository' && agent_id === agent.id,
    );
    const commitId = await agent.repository.commit({ 'README.md': 'hello' });
    await push(agent.projectPath);
    const answer = await call.nextMessage(ConfigurationResponseSchema, SOON_MS);
    assert.deepEqual([answer.commitId, answer.configuration?.agentId], [commitId, BigInt(agent.id)]);
    await eventually('the report to GitLab', () => told(agent.id).length > 0);
    assert.deepEqual(told(agent.id), [{}]);
    call.cancel();
  });

  test('a branch that is not there', async () => {
    const agent = await newAgent();
    await agent.repository.commit({ a: '' }, 'other');
    assert.equal(
      await refusal(open(agent.token)),
      '5 Config: repository poll failed: NotFound: InfoRefsUploadPack: file/directory/ref not found: refs/heads/main',
    );
  });

  test('a project or an agent that is deleted while its agent is connected', async () => {
    const agent = await newAgent();
    await agent.write('');
    const call = open(agent.token);
    await call.nextMessage(ConfigurationResponseSchema);
    gitlab.agents.delete(agent.token);
    gitaly.removeRepository(agent.repository.relativePath);
    await push(agent.projectPath);
    assert.equal(await refusal(call), '16 unauthenticated');
  });

  test('a repository that is gone, though GitLab knows the project, is an error of its own in the log', async () => {
    const agent = await newAgent();
    gitaly.removeRepository(agent.repository.relativePath);
    const call = open(agent.token);
    const line = await server.waitForLog(
      'the failure',
      ({ msg, agent_id }) => msg === 'Config: repository poll failed' && agent_id === agent.id,
    );
    assert.equal(
      line.error,
      'RpcError: InfoRefsUploadPack.Recv: RPC failed: rpc error: code = NotFound desc = repository not found',
    );
    call.cancel();
  });

  test('a project that moves is followed', async () => {
    const agent = await newAgent();
    const first = await agent.write('');
    const call = open(agent.token, first);
    await server.waitForLog('the poll', ({ msg, agent_id }) => msg === 'Config: no updates' && agent_id === agent.id);
    const repository = await gitaly.createRepository('moved/project.git');
    const second = await repository.commit({ [agent.file]: '# moved' });
    const project = { path: 'moved/project', repositoryPath: repository.relativePath, gitaly: place() };
    gitlab.agents.set(agent.token, { ...agent.row, project });
    await push(agent.projectPath);
    const answer = await call.nextMessage(ConfigurationResponseSchema, SOON_MS);
    assert.deepEqual([answer.commitId, answer.configuration?.projectPath], [second, 'moved/project']);
    const third = await repository.commit({ [agent.file]: '# again' });
    await push('moved/project');
    assert.equal((await call.nextMessage(ConfigurationResponseSchema, SOON_MS)).commitId, third);
    call.cancel();
  });

  test('broken YAML: the agent keeps what it has, the log names file, commit, line and problem', async () => {
    const agent = await newAgent();
    const good = await agent.write('gitops: {}\n');
    const call = open(agent.token);
    assert.equal((await call.nextMessage(ConfigurationResponseSchema)).commitId, good);
    const bad = await agent.write('gitops: {}\nci_access: [unclosed\n');
    await push(agent.projectPath);
    const problem = "failed to parse agent configuration: YAMLToJSON: yaml: line 2: did not find expected ',' or ']'";
    assert.equal(await refusal(call), `9 Config: ${problem}`);
    assert.equal(await call.next(), undefined);
    const line = await server.waitForLog(
      'the failure',
      ({ msg, agent_id }) => msg === 'Config: failed to fetch' && agent_id === agent.id,
    );
    assert.deepEqual(
      [line.level, line.error, line.file, line.commit_id, line.line],
      ['info', problem, agent.file, bad, 3],
    );
    const again = open(agent.token, good);
    assert.equal(await refusal(again), `9 Config: ${problem}`);
    const mended = await agent.write('gitops: {}\n# mended\n');
    const third = open(agent.token, good);
    assert.equal((await third.nextMessage(ConfigurationResponseSchema)).commitId, mended);
    third.cancel();
    await eventually('the second report to GitLab', () => told(agent.id).length === 2);
  });

  test('a YAML bomb, a file of 10 MB, a folder in place of the file, a name that leads elsewhere', async () => {
    const bomb = await newAgent();
    const levels = [...'bcdefghi'].map((name, i) => `${name}: &${name} [${`*${'abcdefgh'[i]},`.repeat(9)}]`);
    await bomb.write(['a: &a [lol]', ...levels].join('\n'));
    assert.match(await refusal(open(bomb.token)), /^9 Config: .*yaml: document contains excessive aliasing$/);

    const big = await newAgent();
    await big.write(Buffer.alloc(10 << 20, '#'));
    assert.equal(
      await refusal(open(big.token)),
      `9 Config: agent configuration file: FileTooBig: TreeEntry: file is too big: ${big.file}: rpc error: code = FailedPrecondition desc = object size (10485760) is bigger than the maximum allowed size (131072)`,
    );

    const folder = await newAgent();
    await folder.repository.commit({ [`${folder.file}/x`]: '' });
    assert.equal(
      await refusal(open(folder.token)),
      `9 Config: agent configuration file: UnexpectedTreeEntryType: TreeEntry.Recv: file is not a usual file: ${folder.file}`,
    );

    const elsewhere = await newAgent({ name: '../../x' });
    await elsewhere.repository.commit({ 'x/config.yaml': '' });
    assert.equal(
      await refusal(open(elsewhere.token)),
      '9 Config: agent configuration file: invalid agent name "../../x"',
    );
  });

  test('problems that are longer than any header end the stream, not the connection', async () => {
    const other = open((await newAgent()).token);
    for (const content of ['x'.repeat(130_000), `ci_access: {projects: [${'{id: ""},'.repeat(10_000)}]}`]) {
      const agent = await newAgent();
      await agent.write(content);
      const call = open(agent.token);
      assert.match(await refusal(call), /^9 Config: (failed to parse|invalid) agent configuration: .{1000,}\.\.\.$/);
      const { error } = await server.waitForLog(
        'the problem',
        ({ msg, agent_id }) => msg === 'Config: failed to fetch' && agent_id === agent.id,
      );
      assert.ok(String(error).length < 4096);
    }
    assert.equal(other.stream.closed, false);
    other.cancel();
  });

  test('Gitaly goes down and comes back: agents stay, and get what is new within seconds', async () => {
    const agent = await newAgent();
    const first = await agent.write('');
    const call = open(agent.token);
    assert.equal((await call.nextMessage(ConfigurationResponseSchema)).commitId, first);
    await gitaly.goDown();
    const second = await agent.write('# new');
    await push(agent.projectPath);
    const failed = await server.waitForLog(
      'the failure',
      ({ msg, agent_id }) => msg === 'Config: repository poll failed' && agent_id === agent.id,
    );
    assert.match(String(failed.error), /^RpcError: InfoRefsUploadPack: RPC failed: .*connect: connection refused"$/);
    await gitaly.comeBack();
    assert.equal((await call.nextMessage(ConfigurationResponseSchema, 5000)).commitId, second);
    call.cancel();
  });

  test('GitLab lists the configuration files of a repository', async () => {
    const agent = await newAgent();
    const empty = await newAgent();
    await agent.repository.commit({
      '.gitlab/agents/a/config.yaml': '',
      '.gitlab/agents/b-1/config.yaml': '',
      '.gitlab/agents/b-1/other.yaml': '',
      '.gitlab/agents/-bad/config.yaml': '',
      '.gitlab/agents/deep/er/config.yaml': '',
    });
    await agent.repository.commit({ '.gitlab/agents/feature/config.yaml': '' }, 'feature');
    const request = (relativePath: string, defaultBranch = '') => ({
      repository: { storageName: 'default', relativePath, glRepository: 'project-1', glProjectPath: 'group/project' },
      gitalyInfo: place(),
      defaultBranch,
    });
    const file = (name: string) => `.gitlab/agents/${name}/config.yaml ${name}`;
    const cases: [string, string | undefined, string[]][] = [
      [agent.repository.relativePath, undefined, [file('a'), file('b-1')]],
      [agent.repository.relativePath, 'main', [file('a'), file('b-1')]],
      [agent.repository.relativePath, 'refs/heads/feature', [file('feature')]],
      [agent.repository.relativePath, 'nowhere', []],
      [empty.repository.relativePath, undefined, []],
      ['p/nowhere.git', undefined, []],
    ];
    for (const caller of callers) {
      for (const [path, branch, expected] of cases) {
        const { status, response } = await caller.call(
          ConfigurationProject.method.listAgentConfigFiles,
          request(path, branch),
        );
        assert.equal(status.code, 0, `${caller.name}: ${status.message}`);
        const listed = response?.configFiles.map(({ name, agentName }) => `${name} ${agentName}`);
        assert.deepEqual(listed, expected, `${caller.name} ${path} ${branch}`);
      }
      const { status } = await caller.call(ConfigurationProject.method.listAgentConfigFiles, {
        ...request('p/1.git'),
        gitalyInfo: { address: 'http://gitaly', token: '' },
      });
      assert.deepEqual(
        [status.code, status.message],
        [3, 'PathFetcher: could not dial source: invalid connection string: "http://gitaly"'],
      );
    }
  });
});
