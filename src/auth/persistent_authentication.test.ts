import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { agentInfo, ScriptedAgents } from '../../test/support/doubles/agents.ts';
import { playedCall } from '../../test/support/doubles/server_call.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { authenticatePersistently } from './persistent_authentication.ts';

const unavailable = new AppError(StatusCode.Unavailable, 'unavailable');
const refused = new AppError(StatusCode.PermissionDenied, 'forbidden');

function setUp(agents: ScriptedAgents) {
  const { call, clock, session, stream } = playedCall();
  return { agents, clock, session, stream, ask: () => authenticatePersistently(agents, 'token', call) };
}

test('an agent that is known is not asked about', async () => {
  const { agents, ask, session } = setUp(new ScriptedAgents('never'));
  agents.known = agentInfo;
  assert.equal(await ask(), agentInfo);
  assert.deepEqual([agents.asked, session.ageListeners], [[], 0]);
});

test('while GitLab cannot be asked it is tried again, after ever longer pauses of 5 s at the most', async () => {
  const { agents, clock, session, ask } = setUp(
    new ScriptedAgents(...Array.from({ length: 8 }, () => unavailable), agentInfo),
  );
  const answer = ask();
  const pauses = [100, 200, 400, 800, 1600, 3200, 5000, 5000];
  for (const [i, pause] of pauses.entries()) {
    await nextTurn();
    assert.equal(agents.asked.length, i + 1);
    clock.advance(pause - 1);
    await nextTurn();
    assert.equal(agents.asked.length, i + 1);
    clock.advance(1);
  }
  assert.equal(await answer, agentInfo);
  assert.deepEqual([clock.pendingTimers, session.ageListeners], [0, 0]);
});

test('a token that is refused is not tried again', async () => {
  const { agents, session, clock, ask } = setUp(new ScriptedAgents(unavailable, refused));
  const answer = ask();
  await nextTurn();
  clock.advance(100);
  await assert.rejects(answer, refused);
  assert.equal(agents.asked.length, 2);
  assert.deepEqual([clock.pendingTimers, session.ageListeners], [0, 0]);
});

test('the age of the connection, and its end, end the question and the pause', async () => {
  for (const outcome of ['never', unavailable] as const) {
    for (const end of ['reachAge', 'close'] as const) {
      const { agents, session, clock, ask } = setUp(new ScriptedAgents(outcome));
      const answer = ask();
      await nextTurn();
      if (end === 'reachAge') session.reachAge();
      else session.scope.close();
      assert.equal(await answer, undefined);
      assert.equal(agents.asked[0]?.signal.aborted, true);
      assert.deepEqual([clock.pendingTimers, session.ageListeners], [0, 0]);
    }
  }
});

test('a connection that has its age already asks nothing', async () => {
  const { agents, session, ask } = setUp(new ScriptedAgents(agentInfo));
  session.reachAge();
  assert.equal(await ask(), undefined);
  assert.deepEqual(agents.asked, []);
});

test('a call that is over does not try on', async () => {
  const { agents, clock, stream, ask } = setUp(new ScriptedAgents(unavailable, agentInfo));
  const answer = ask();
  await nextTurn();
  stream.lose();
  assert.equal(await answer, undefined);
  clock.advance(10_000);
  await nextTurn();
  assert.equal(agents.asked.length, 1);
});
