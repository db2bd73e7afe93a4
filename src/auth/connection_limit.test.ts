import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../test/support/recording_log.ts';
import { Hint } from '../observability/hints.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import type { TokenLimiter } from '../store/token_limiter.ts';
import { ConnectionLimit } from './connection_limit.ts';

const exhausted = {
  code: StatusCode.ResourceExhausted,
  message: 'new connection rate limit exhausted for this agent, try again later',
};

const PATH = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register';
const FIELDS = {
  grpc_service: 'gitlab.agent.agent_registrar.rpc.AgentRegistrar',
  grpc_method: 'Register',
  remote_address: '192.0.2.7',
};

function setUp(limiter?: TokenLimiter) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  let exceeded = 0;
  const limit = new ConnectionLimit({
    limiter: limiter ?? createMemoryStore({ clock }).tokenLimiter,
    connectionsPerTokenPerMinute: 2,
    log,
    clock,
    onDecided: (_ms, allowed) => {
      if (!allowed) exceeded++;
    },
  });
  return { limit, clock, lines, exceeded: () => exceeded };
}

test('a connection counts once, however many RPCs it carries', async () => {
  const { limit } = setUp();
  const connection = {};
  await Promise.all([limit.admit(connection, 't', PATH), limit.admit(connection, 't', PATH)]);
  for (let i = 0; i < 100; i++) assert.equal(limit.admit(connection, 't', PATH), undefined);
  await limit.admit({}, 't', PATH);
});

test('the connection that is one too many is refused, also the next time, until the next minute', async () => {
  const { limit, clock, lines, exceeded } = setUp();
  await limit.admit({}, 't', PATH);
  await limit.admit({}, 't', PATH);
  const third = { remoteAddress: '192.0.2.7' };
  await assert.rejects(async () => limit.admit(third, 't', PATH), exhausted);
  await assert.rejects(async () => limit.admit(third, 't', PATH), exhausted);
  assert.equal(exceeded(), 2);
  assert.deepEqual(lines[0], {
    level: 'debug',
    message: 'redistool.TokenLimiter: rate limit exceeded',
    fields: { ...FIELDS, count: 2, token_limit: 2 },
  });
  await limit.admit({}, 'other', PATH);
  clock.advance(60_000);
  await limit.admit(third, 't', PATH);
});

test('a second token on a connection counts for itself', async () => {
  const { limit } = setUp();
  const connection = {};
  await limit.admit(connection, 'a', PATH);
  await limit.admit({}, 'b', PATH);
  await limit.admit({}, 'b', PATH);
  await assert.rejects(async () => limit.admit(connection, 'b', PATH), exhausted);
});

test('a store in trouble lets nobody in, and says so in the log', async () => {
  const { limit, lines, exceeded } = setUp({ tryTake: () => Promise.reject(new Error('store down')) });
  await assert.rejects(async () => limit.admit({ remoteAddress: '192.0.2.7' }, 't', PATH), exhausted);
  assert.equal(exceeded(), 0);
  assert.deepEqual(lines, [
    {
      level: 'error',
      message: 'redistool.TokenLimiter: error retrieving minute bucket count',
      fields: { ...FIELDS, error: 'store down', hint: `${Hint.store}; until then agents that connect are refused` },
    },
  ]);
});
