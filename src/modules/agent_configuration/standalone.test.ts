import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { agentInfo, ScriptedAgents } from '../../../test/support/doubles/agents.ts';
import { playedCall } from '../../../test/support/doubles/server_call.ts';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { createStandaloneGetConfiguration } from './get_configuration.ts';

async function setUp(agents: ScriptedAgents, commitId = '') {
  const method = createStandaloneGetConfiguration({ agents, externalUrl: 'https://gitlab.example' });
  const played = playedCall();
  const handled = Promise.resolve(method.handle(played.call, 'token'));
  handled.catch(() => {});
  played.asks(ConfigurationRequestSchema, { commitId });
  await nextTurn();
  return { ...played, handled };
}

test('an agent is told who it is, once, and the stream stays open until its connection is old', async () => {
  const { answers, status, session, handled } = await setUp(new ScriptedAgents(agentInfo));
  await handled;
  const [answer, ...more] = answers(ConfigurationResponseSchema);
  assert.deepEqual(more, []);
  assert.match(answer!.commitId, /^0{40}$/);
  const { agentId, projectId, projectPath, gitlabExternalUrl } = answer!.configuration!;
  assert.deepEqual(
    [agentId, projectId, projectPath, gitlabExternalUrl],
    [42n, 7n, 'group/project', 'https://gitlab.example'],
  );
  assert.equal(status(), undefined);
  session.reachAge();
  assert.equal(status(), '0 ');
});

test('an agent that has this configuration already is told nothing', async () => {
  const { answers, status } = await setUp(new ScriptedAgents(agentInfo), '0'.repeat(40));
  assert.deepEqual([answers(ConfigurationResponseSchema), status()], [[], undefined]);
});

test('an agent that leaves leaves nothing behind', async () => {
  const { stream, session, clock } = await setUp(new ScriptedAgents(agentInfo));
  assert.equal(session.ageListeners, 1);
  stream.lose();
  assert.deepEqual([session.ageListeners, clock.pendingTimers], [0, 0]);
});

test('an agent that is refused is not answered', async () => {
  const refused = new AppError(StatusCode.PermissionDenied, 'forbidden');
  const { handled } = await setUp(new ScriptedAgents(refused));
  await assert.rejects(handled, refused);
});

test('a connection that gets old before the agent is known ends the stream with OK', async () => {
  const { session, handled, status, answers } = await setUp(new ScriptedAgents('never'));
  session.reachAge();
  await handled;
  assert.deepEqual([answers(ConfigurationResponseSchema), status()], [[], '0 ']);
});
