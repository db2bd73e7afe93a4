import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ScriptedAgents } from '../../test/support/doubles/agents.ts';
import { playedCall } from '../../test/support/doubles/server_call.ts';
import { recordingLog } from '../../test/support/recording_log.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { AppError } from '../runtime/app_error.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { type AgentMethod, authenticated } from './agent_method.ts';
import { AgentProof } from './agent_proof.ts';
import { ConnectionLimit } from './connection_limit.ts';

function setUp(handle: AgentMethod['handle'], allowed = true) {
  const { log, lines } = recordingLog();
  const limiter = { tryTake: () => Promise.resolve(allowed) };
  const clock = new FakeClock();
  const limit = new ConnectionLimit({ limiter, connectionsPerTokenPerMinute: 1, log, clock, onDecided: () => {} });
  return {
    method: authenticated({ path: '/s/M', handle }, { limit, proof: new AgentProof(new ScriptedAgents('never')), log }),
    log,
    lines,
  };
}

test('a method gets its token, and its second call on a connection at once', async () => {
  const tokens: string[] = [];
  const { method } = setUp((_call, token) => void tokens.push(token));
  const { call, session } = playedCall({ authorization: 'Bearer abc' });
  assert.equal(method.path, '/s/M');
  method.handle(call);
  assert.deepEqual(tokens, []);
  await nextTurn();
  assert.deepEqual(tokens, ['abc']);
  const second = playedCall({ authorization: 'bearer abc' }).call;
  Object.assign(second, { session });
  method.handle(second);
  assert.deepEqual(tokens, ['abc', 'abc']);
});

test('a call without a token is refused', () => {
  const { method, log } = setUp(() => assert.fail('handled'));
  const { stream, session, status } = playedCall();
  const serve = createGrpcServer({ methods: [method], compress: false, log });
  serve(stream, { ':method': 'POST', ':path': '/s/M', 'content-type': 'application/grpc' }, session);
  assert.equal(status(), '16 Request unauthenticated with bearer');
});

test('a connection too many is refused', async () => {
  const { method } = setUp(() => assert.fail('handled'), false);
  const { call, status } = playedCall({ authorization: 'Bearer abc' });
  method.handle(call);
  await nextTurn();
  assert.equal(status(), '8 new connection rate limit exhausted for this agent, try again later');
});

test('what a method rejects with is the status; a defect keeps its text for the log', async () => {
  for (const [error, expected, logged] of [
    [new AppError(StatusCode.NotFound, 'no such thing'), '5 no such thing', 0],
    [new Error('secret'), '13 internal error', 1],
  ] as const) {
    const { method, lines } = setUp(() => Promise.reject(error));
    const { call, status } = playedCall({ authorization: 'Bearer abc' });
    method.handle(call);
    await nextTurn();
    assert.equal(status(), expected);
    assert.equal(lines.length, logged);
  }
});
