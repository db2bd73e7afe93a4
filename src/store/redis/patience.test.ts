import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { Patience } from './patience.ts';

function setUp() {
  const clock = new FakeClock();
  const redis = { answeredAtMs: clock.monotonicMs() };
  const patience = new Patience(new Scope(clock), 1000, () => clock.monotonicMs() - redis.answeredAtMs);
  const pass = async (ms: number) => {
    clock.advance(ms);
    await turn();
  };
  return { clock, redis, patience, pass };
}

test('a Redis that answers nobody is waited for that long', async () => {
  const { patience, pass, clock } = setUp();
  let failed = '';
  void patience.wait(new Promise(() => {})).catch((error: Error) => {
    failed = error.message;
  });
  await pass(999);
  assert.equal(failed, '');
  await pass(1);
  assert.equal(failed, 'no answer within 1000 ms');
  assert.equal(clock.pendingTimers, 0);
});

test('one that answers others is busy, and waited for; when it stops, for as long as ever', async () => {
  const { patience, pass, redis, clock } = setUp();
  let failed = false;
  void patience.wait(new Promise(() => {})).catch(() => {
    failed = true;
  });
  for (let i = 0; i < 5; i++) {
    redis.answeredAtMs = clock.monotonicMs();
    await pass(900);
  }
  assert.equal(failed, false);
  await pass(100);
  assert.equal(failed, true);
});

test('an answer ends it', async () => {
  const { patience, clock } = setUp();
  assert.equal(await patience.wait(Promise.resolve(7)), 7);
  await turn();
  assert.equal(clock.pendingTimers, 0);
});
