import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { agentInfo, ScriptedAgents } from '../../../test/support/doubles/agents.ts';
import { playedCall } from '../../../test/support/doubles/server_call.ts';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { GitPushEventSchema } from '../../gen/gitlab/agent/event/event_pb.ts';
import {
  ReconcileProjectsRequestSchema,
  ReconcileProjectsResponseSchema,
} from '../../gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { createMemoryStore } from '../../store/memory/memory_store.ts';
import { ProjectAccess } from './project_access.ts';
import { createReconcileProjects } from './reconcile_projects.ts';

type Verify = (projectPath: string) => Promise<boolean>;

function setUp(verify: Verify = () => Promise.resolve(true)) {
  const { log, lines } = recordingLog();
  const clock = new FakeClock();
  const store = createMemoryStore({ clock });
  const asked: string[] = [];
  const counted = { sent: 0, dropped: 0 };
  const gitlab = {
    verifyProjectAccess(token: string, projectPath: string) {
      asked.push(`${token} ${projectPath}`);
      return verify(projectPath);
    },
  };
  const method = createReconcileProjects({
    agents: new ScriptedAgents(agentInfo),
    access: new ProjectAccess({ gitlab, clock, errors: store.errorCache, log }),
    events: store.eventBus,
    usage: store.usageCounters,
    metrics: {
      fluxNotifications: { inc: () => counted.sent++ },
      fluxDroppedNotifications: { inc: () => counted.dropped++ },
    },
    log,
  });
  const push = async (fullPath: string, id = 5n) => {
    await store.eventBus.publish(create(GitPushEventSchema, { project: { id, fullPath } }));
    await settled();
  };
  const follow = async (...ids: string[]) => {
    const played = playedCall({ 'grpc-timeout': '10M' });
    const handled = Promise.resolve(method.handle(played.call, 'tok'));
    handled.catch(() => {}); // the test looks at it later
    played.asks(ReconcileProjectsRequestSchema, { project: ids.map((id) => ({ id })) });
    await settled();
    const told = () => played.answers(ReconcileProjectsResponseSchema).map(({ project }) => project?.id);
    return { ...played, handled, told };
  };
  return { method, clock, store, push, follow, asked, counted, lines };
}

async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextTurn();
}

test('an agent hears of pushes to projects that it asked for and may read', async () => {
  const { push, follow, asked, counted, store } = setUp((path) => Promise.resolve(path !== 'g/secret'));
  const { told, status } = await follow('g/app', 'g/secret');
  await push('g/other');
  await push('g/secret');
  await push('g/app');
  await push('g/app');
  assert.deepEqual(told(), ['g/app', 'g/app']);
  assert.deepEqual(asked, ['tok g/secret', 'tok g/app']);
  assert.deepEqual(counted, { sent: 2, dropped: 0 });
  const { counters, uniqueCounters } = store.usageCounters.metrics();
  assert.deepEqual([...counters], [['flux_git_push_notifications_total', 2]]);
  assert.deepEqual([...uniqueCounters], [['flux_git_push_notified_unique_projects', [5n]]]);
  assert.equal(status(), undefined);
});

test('both answers of GitLab are remembered for five minutes', async () => {
  let may = false;
  const { push, follow, asked, clock } = setUp(() => Promise.resolve(may));
  const { told } = await follow('g/app');
  await push('g/app');
  may = true;
  clock.advance(5 * 60_000 - 1);
  await push('g/app');
  assert.deepEqual(told(), []);
  clock.advance(1);
  await push('g/app');
  assert.deepEqual(told(), ['g/app']);
  assert.equal(asked.length, 2);
});

test('while GitLab is slow ten pushes wait, and more are dropped', async () => {
  let answer: (may: boolean) => void = () => {};
  const slow = new Promise<boolean>((resolve) => {
    answer = resolve;
  });
  const { push, follow, counted, lines } = setUp(() => slow);
  const { told } = await follow('g/app');
  for (let i = 0; i < 13; i++) await push('g/app');
  assert.deepEqual(counted, { sent: 0, dropped: 2 });
  assert.equal(lines.filter(({ message }) => message === 'Dropping Git push event').length, 2);
  answer(true);
  await settled();
  assert.equal(told().length, 11);
});

test('an agent that does not read is not written to', async () => {
  const { push, follow, counted } = setUp();
  const { told, stream } = await follow('g/app');
  stream.ready = false;
  for (let i = 0; i < 12; i++) await push('g/app');
  assert.equal(told().length, 1);
  assert.equal(counted.dropped, 1);
  stream.drain();
  await settled();
  assert.equal(told().length, 2);
});

test('a failing GitLab costs one push', async () => {
  let works = false;
  const { push, follow, lines } = setUp(() => (works ? Promise.resolve(true) : Promise.reject(new Error('down'))));
  const { told } = await follow('g/app');
  await push('g/app');
  works = true;
  await push('g/app');
  assert.deepEqual(told(), ['g/app']);
  const errors = lines.filter(({ level }) => level === 'error');
  assert.deepEqual(
    errors.map(({ message, fields }) => [message, fields.error, fields.agent_id]),
    [['Failed to check if project g/app is accessible by agent', 'down', agentInfo.id]],
  );
});

test('the stream ends well when its connection is old, and nothing is asked for it any more', async () => {
  const { push, follow, asked, lines } = setUp();
  const { session, status } = await follow('g/app');
  session.reachAge();
  await push('g/app');
  assert.match(String(status()), /^0 /);
  assert.deepEqual(asked, []);
  assert.equal(lines.at(-1)?.message, 'Stopped reconcile projects ...');
});

test('the client may say how long it wants to hear of pushes', async () => {
  const { follow } = setUp();
  const played = await follow('g/app');
  played.clock.advance(10 * 60_000);
  assert.match(String(played.status()), /^0 /);
});

test('an agent that leaves is forgotten', async () => {
  const { push, follow, asked } = setUp();
  const { stream, session } = await follow('g/app');
  stream.lose();
  await push('g/app');
  assert.deepEqual(asked, []);
  assert.equal(session.ageListeners, 0);
});

test('a request with an empty id is refused, one without projects is not', async () => {
  const { follow } = setUp();
  await assert.rejects((await follow('g/app', '')).handled, {
    code: 3,
    message:
      'invalid ReconcileProjectsRequest.Project[1]: embedded message failed validation | caused by: invalid Project.Id: value length must be at least 1 bytes',
  });
  const { handled, status } = await follow();
  await handled;
  assert.equal(status(), undefined);
});
