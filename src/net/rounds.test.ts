import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { Rounds } from './rounds.ts';

test('everything is looked at once a round, with one timer', () => {
  const clock = new FakeClock();
  const rounds = new Rounds(new Scope(clock), 1000);
  const seen: number[][] = [];
  for (let i = 0; i < 50; i++) {
    const times: number[] = [];
    seen.push(times);
    rounds.add({ check: (nowMs) => times.push(nowMs) });
    clock.advance(37);
    assert.equal(clock.pendingTimers, 1);
  }
  clock.advance(5000);
  for (const [i, times] of seen.entries()) {
    const first = (times[0] ?? 0) - i * 37;
    assert.ok(first > 950 && first <= 1000, `the first look came after ${first} ms`);
    for (let k = 1; k < times.length; k++) assert.equal((times[k] ?? 0) - (times[k - 1] ?? 0), 1000);
  }
});

test('what has left is not looked at, and with the last one the timer goes', () => {
  const clock = new FakeClock();
  const rounds = new Rounds(new Scope(clock), 1000);
  let looks = 0;
  const leave = rounds.add({ check: () => looks++ });
  clock.advance(1000);
  leave();
  leave();
  clock.advance(5000);
  assert.equal(looks, 1);
  assert.equal(clock.pendingTimers, 0);
});
