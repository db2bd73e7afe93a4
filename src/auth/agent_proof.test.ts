import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import { agentInfo, ScriptedAgents } from '../../test/support/doubles/agents.ts';
import { playedCall } from '../../test/support/doubles/server_call.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { AgentProof } from './agent_proof.ts';

const refused = new AppError(StatusCode.Unauthenticated, 'unauthenticated');
const away = new AppError(StatusCode.Unavailable, 'unavailable');

test('a token that is known proves the connection at once; nobody is asked, and never again', () => {
  const agents = new ScriptedAgents('never');
  agents.known = agentInfo;
  const { call, session } = playedCall();
  const proof = new AgentProof(agents);
  proof.look(call, 't');
  assert.equal(session.known, true);
  agents.known = undefined;
  proof.look(call, 'another');
  assert.deepEqual(agents.asked, []);
});

test('one question a connection; its answer proves it', async () => {
  const agents = new ScriptedAgents(agentInfo);
  const { call, session } = playedCall();
  const proof = new AgentProof(agents);
  proof.look(call, 't');
  proof.look(call, 't');
  assert.deepEqual([agents.asked.length, session.known, session.plea?.()], [1, false, true]);
  await settled();
  assert.equal(session.known, true);
});

test('a refused token has no excuse, a good one that follows on the same connection proves it', async () => {
  const agents = new ScriptedAgents(refused, agentInfo);
  const { call, session } = playedCall();
  const proof = new AgentProof(agents);
  proof.look(call, 'bad');
  await settled();
  assert.deepEqual([session.known, session.plea?.()], [false, false]);
  proof.look(call, 'good');
  assert.equal(session.plea?.(), true);
  await settled();
  assert.equal(session.known, true);
});

test('as long as nobody can say, the connection may stay, and is asked about again', async () => {
  const agents = new ScriptedAgents(away, away, refused);
  const { call, session } = playedCall();
  new AgentProof(agents).look(call, 't');
  await settled();
  assert.equal(session.plea?.(), true);
  assert.equal(agents.asked.length, 2);
  await settled();
  assert.equal(session.plea?.(), true);
  await settled();
  assert.equal(session.plea?.(), false);
  assert.equal(agents.asked.length, 3);
});
