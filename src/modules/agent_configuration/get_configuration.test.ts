import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { create, type JsonObject } from '@bufbuild/protobuf';
import { agentInfo, ScriptedAgents } from '../../../test/support/doubles/agents.ts';
import { playedCall } from '../../../test/support/doubles/server_call.ts';
import { recordingLog } from '../../../test/support/recording_log.ts';
import type { AgentInfo } from '../../auth/agent_authenticator.ts';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { GitalyInfoSchema, GitalyRepositorySchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import { type GitPushEvent, GitPushEventSchema } from '../../gen/gitlab/agent/event/event_pb.ts';
import { GitalyError } from '../../gitaly/gitaly_error.ts';
import type { Discovered } from '../../gitaly/reference_discovery.ts';
import { GitLabError } from '../../gitlab/gitlab_error.ts';
import { AppError } from '../../runtime/app_error.ts';
import { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { createMemoryStore } from '../../store/memory/memory_store.ts';
import { createGetConfiguration } from './get_configuration.ts';

const MINUTE = 60_000;
const A = 'a'.repeat(40);
const B = 'b'.repeat(40);
const withRepository = (projectPath = 'group/project', name = 'test-agent'): AgentInfo => ({
  ...agentInfo,
  name,
  projectPath,
  repository: {
    gitaly: create(GitalyInfoSchema, { address: 'tcp://gitaly:1' }),
    repository: create(GitalyRepositorySchema, { relativePath: projectPath, glProjectPath: projectPath }),
    defaultBranch: 'main',
  },
});

function setUp(agents = new ScriptedAgents(withRepository())) {
  const { log, lines } = recordingLog();
  const listeners = new Set<(event: GitPushEvent) => void>();
  const world = {
    head: { kind: 'found', commitId: A } as Discovered | Error,
    file: '' as string | Error,
    told: [] as JsonObject[],
    gitlabFails: undefined as Error | undefined,
    calls: [] as string[],
  };
  const first = playedCall();
  const { clock } = first;
  const store = createMemoryStore({ clock });
  const outcome = <V>(value: V | Error) => (value instanceof Error ? Promise.reject(value) : Promise.resolve(value));
  const method = createGetConfiguration({
    agents,
    gitaly: {
      findRef(_at, ref) {
        world.calls.push(ref);
        return outcome(world.head);
      },
      readFile(_at, { path }) {
        world.calls.push(path);
        return outcome(world.file instanceof Error ? world.file : Buffer.from(world.file));
      },
    },
    gitlab: {
      postAgentConfiguration(_id, configuration) {
        world.told.push(configuration);
        return world.gitlabFails === undefined ? Promise.resolve() : Promise.reject(world.gitlabFails);
      },
    },
    events: {
      subscribe(f) {
        listeners.add(f);
        return () => void listeners.delete(f);
      },
    },
    directory: store.agentDirectory,
    ttlMs: 5 * MINUTE,
    pollPeriodMs: 5 * MINUTE,
    maxFileBytes: 1000,
    externalUrl: 'https://gitlab.example',
    clock,
    random: { fraction: () => 0, bytes: (n) => Buffer.alloc(n, 0xff) },
    scope: new Scope(clock),
    log,
  });
  const open = async (more: { commitId?: string; skipRegister?: boolean } = {}, played = playedCall()) => {
    const handled = Promise.resolve(method.handle(played.call, 'token'));
    handled.catch(() => {});
    played.asks(ConfigurationRequestSchema, { skipRegister: true, ...more });
    await settle();
    const commits = () => played.answers(ConfigurationResponseSchema).map(({ commitId }) => commitId);
    return { ...played, handled, commits };
  };
  return {
    world,
    lines,
    store,
    listeners,
    openOther: open,
    /** The one whose clock the test moves. */
    open: (more: { commitId?: string; skipRegister?: boolean } = {}) => open(more, first),
    async advance(ms: number) {
      clock.advance(ms);
      await settle();
    },
    async push(fullPath: string) {
      for (const f of listeners) f(create(GitPushEventSchema, { project: { id: 1n, fullPath } }));
      await settle();
    },
    logged: (level: string) => lines.filter((line) => line.level === level).map(({ message }) => message),
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await nextTurn();
}

test('an agent gets its configuration, GitLab the whole file', async () => {
  const { open, world } = setUp();
  world.file = 'observability: {logging: {level: debug}}\nuser_access: {projects: [{id: a}]}\nnew: 1\n';
  const { answers } = await open();
  const [answer] = answers(ConfigurationResponseSchema);
  const { observability, agentId, projectId, projectPath, gitlabExternalUrl } = answer!.configuration!;
  assert.equal(observability?.logging?.level, 1);
  assert.deepEqual(
    [answer!.commitId, agentId, projectId, projectPath, gitlabExternalUrl],
    [A, 42n, 7n, 'group/project', 'https://gitlab.example'],
  );
  assert.deepEqual(world.told, [
    { observability: { logging: { level: 'debug' } }, user_access: { projects: [{ id: 'a' }] }, new: 1 },
  ]);
  assert.deepEqual(world.calls, ['refs/heads/main', '.gitlab/agents/test-agent/config.yaml']);
});

test('keys that are not known are named in one line, with file and commit', async () => {
  const { open, world, lines } = setUp();
  world.file = 'new: 1\nci_access:\n  other: 2\n';
  await open();
  const [line, ...more] = lines.filter(({ message }) => message === 'Config: unknown keys are ignored');
  assert.deepEqual(more, []);
  assert.deepEqual(
    [line?.fields.keys, line?.fields.file, line?.fields.commit_id],
    [['new (line 1)', 'ci_access.other (line 3)'], '.gitlab/agents/test-agent/config.yaml', A],
  );
});

test('each poll period is looked for a new commit, and only that is sent', async () => {
  const { open, world, advance } = setUp();
  const { commits } = await open({ commitId: A });
  assert.deepEqual([commits(), world.calls.length], [[], 1]);
  await advance(5 * MINUTE - 1);
  assert.equal(world.calls.length, 1);
  await advance(1);
  assert.equal(world.calls.length, 2);
  world.head = { kind: 'found', commitId: B };
  await advance(5 * MINUTE);
  assert.deepEqual(commits(), [B]);
});

test('a push to the project is looked at once, one elsewhere is not', async () => {
  const { open, openOther, world, push } = setUp();
  const { commits } = await open({ commitId: A });
  const other = await openOther({ commitId: A });
  world.calls.length = 0;
  world.head = { kind: 'found', commitId: B };
  await push('other/project');
  assert.deepEqual(world.calls, []);
  await push('group/project');
  assert.deepEqual([commits(), other.commits()], [[B], [B]]);
  // Both pods together.
  assert.deepEqual(world.calls, ['refs/heads/main', '.gitlab/agents/test-agent/config.yaml']);
  assert.equal(world.told.length, 1);
});

test('GitLab hears of a change of the file, not of every commit', async () => {
  const { open, world, push } = setUp();
  const { commits } = await open();
  world.head = { kind: 'found', commitId: B };
  await push('group/project');
  assert.deepEqual([commits(), world.told], [[A, B], [{}]]);
  world.head = { kind: 'found', commitId: A };
  world.file = 'new: 1';
  await push('group/project');
  assert.deepEqual(
    [commits(), world.told],
    [
      [A, B, A],
      [{}, { new: 1 }],
    ],
  );
});

test('a moved project is followed', async () => {
  const { open, world, advance, push } = setUp(new ScriptedAgents(withRepository(), withRepository('new/place')));
  await open({ commitId: A });
  await advance(5 * MINUTE);
  world.calls.length = 0;
  await push('group/project');
  assert.deepEqual(world.calls, []);
  await push('new/place');
  assert.deepEqual(world.calls, ['refs/heads/main']);
});

test('an empty repository and an empty file', async () => {
  const { open, world, push, logged } = setUp();
  world.head = { kind: 'empty repository' };
  const { commits, status } = await open();
  assert.deepEqual([commits(), status(), logged('debug')], [[], undefined, ['Config: empty repository']]);
  world.head = { kind: 'found', commitId: A };
  world.file = new GitalyError('NotFound', 'TreeEntry', { path: 'x' });
  await push('group/project');
  assert.deepEqual([commits(), world.told], [[A], [{}]]);
});

test('a branch that is not there ends the call', async () => {
  const { open, world } = setUp();
  world.head = { kind: 'not found' };
  await assert.rejects((await open()).handled, {
    code: StatusCode.NotFound,
    message:
      'Config: repository poll failed: NotFound: InfoRefsUploadPack: file/directory/ref not found: refs/heads/main',
  });
});

test('a file that is wrong ends the call, and the log names file, commit, line and problem', async () => {
  const { open, world, lines } = setUp();
  world.file = 'a: 1\nci_access: 5\n';
  const error =
    'failed to parse agent configuration: protojson.Unmarshal: proto: syntax error (line 1:20): unexpected token 5';
  await assert.rejects((await open()).handled, { code: StatusCode.FailedPrecondition, message: `Config: ${error}` });
  const line = lines.find(({ message }) => message === 'Config: failed to fetch');
  assert.equal(line?.level, 'info');
  const { commit_id, file, line: at, error: text, agent_id, project_id } = line?.fields ?? {};
  assert.deepEqual(
    [commit_id, file, at, text, agent_id, project_id],
    [A, '.gitlab/agents/test-agent/config.yaml', 2, error, 42n, 'group/project'],
  );
});

test('a file that is too big, and an agent whose name leads elsewhere', async () => {
  const big = setUp();
  big.world.file = new GitalyError('FileTooBig', 'TreeEntry', { path: 'p', detail: 'd' });
  await assert.rejects((await big.open()).handled, {
    code: StatusCode.FailedPrecondition,
    message: 'Config: agent configuration file: FileTooBig: TreeEntry: file is too big: p: d',
  });
  const elsewhere = setUp(new ScriptedAgents(withRepository('group/project', '../../x')));
  await assert.rejects((await elsewhere.open()).handled, {
    code: StatusCode.FailedPrecondition,
    message: 'Config: agent configuration file: invalid agent name "../../x"',
  });
  assert.deepEqual(elsewhere.world.calls, ['refs/heads/main']);
});

test('a Gitaly that is down is asked every second, logged once, and used when it is back', async () => {
  const { open, world, advance, logged } = setUp();
  world.head = new GitalyError('RpcError', 'InfoRefsUploadPack', { detail: 'down', unavailable: true });
  const { commits } = await open();
  for (let i = 0; i < 300; i++) await advance(1000);
  assert.equal(world.calls.length, 301);
  assert.deepEqual(logged('error'), ['Config: repository poll failed']);
  world.head = { kind: 'found', commitId: A };
  await advance(1000);
  assert.deepEqual(commits(), [A]);
});

test('a Gitaly that may not be asked any oftener is told of once a minute for all agents, with the limits to change', async () => {
  const { openOther: open, world, logged, lines } = setUp();
  const detail = 'rpc error: code = ResourceExhausted desc = rejected';
  world.head = new GitalyError('RpcError', 'InfoRefsUploadPack', { detail, overLimit: true });
  for (let agent = 0; agent < 3; agent++) await open();
  assert.equal(world.calls.length, 3);
  assert.deepEqual(logged('error'), ['Config: repository poll failed']);
  assert.match(String(lines.find(({ level }) => level === 'error')?.fields.hint), /gitaly\.per_server_api_rate_limit/);
});

test('a Gitaly in other trouble is left alone for longer and longer', async () => {
  const { open, world, advance } = setUp();
  world.head = new GitalyError('RpcError', 'InfoRefsUploadPack.Recv', { detail: 'boom' });
  await open();
  const asked: number[] = [];
  for (let second = 1; second <= 200; second++) {
    const before = world.calls.length;
    await advance(1000);
    if (world.calls.length > before) asked.push(second);
  }
  assert.deepEqual(asked, [10, 30, 70, 130, 190]);
});

test('a token that is revoked meanwhile ends the call; a GitLab that is away does not', async () => {
  const away = new AppError(StatusCode.Unavailable, 'unavailable');
  const revoked = new AppError(StatusCode.Unauthenticated, 'unauthenticated');
  const { open, advance } = setUp(new ScriptedAgents(away, withRepository(), revoked));
  const { commits, status, handled } = await open();
  assert.deepEqual([commits(), status()], [[], undefined]);
  await advance(2000);
  assert.deepEqual([commits(), status()], [[A], undefined]);
  await advance(5 * MINUTE);
  await assert.rejects(handled, revoked);
});

test('what GitLab makes of a configuration is logged, and concerns no agent', async () => {
  for (const [error, level, message] of [
    [new GitLabError(404, '/p'), 'debug', 'Failed to notify GitLab of new agent configuration. Deleted agent?'],
    [new GitLabError(500, '/p'), 'error', 'Failed to notify GitLab of new agent configuration'],
  ] as const) {
    const { open, world, logged } = setUp();
    world.gitlabFails = error;
    const { commits } = await open();
    assert.deepEqual([commits(), logged(level)], [[A], [message]]);
  }
});

test('an agent that does not register by itself is registered as long as it asks', async () => {
  const { open, openOther, store } = setUp();
  await openOther();
  assert.equal(await store.agentDirectory.count(), 0);
  const { stream } = await open({ skipRegister: false });
  const [connected] = await store.agentDirectory.byAgentIds([42n]);
  assert.deepEqual([connected?.projectId, connected?.connectionId], [7n, 2n ** 63n - 1n]);
  stream.lose();
  await settle();
  assert.equal(await store.agentDirectory.count(), 0);
});

test('the call ends with OK when its connection is old, and leaves nothing behind', async () => {
  const { open, world, push } = setUp();
  const { session, status, handled, clock } = await open({ commitId: A });
  session.reachAge();
  await handled;
  assert.equal(status(), '0 ');
  assert.deepEqual([clock.pendingTimers, session.ageListeners], [0, 0]);
  world.calls.length = 0;
  await push('group/project');
  assert.deepEqual(world.calls, []);
});
