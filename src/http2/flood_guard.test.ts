import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { FloodGuard } from './flood_guard.ts';

function setUp(burst: number, perSecond: number) {
  const clock = new FakeClock();
  const guard = new FloodGuard({ burst, perSecond }, clock.monotonicMs());
  const allowed = (n: number) => Array.from({ length: n }, () => guard.allow(clock)).filter(Boolean).length;
  return { clock, guard, allowed };
}

test('so many at once, and then as many as time gives', () => {
  const { clock, allowed } = setUp(10, 5);
  assert.equal(allowed(20), 10);
  clock.advance(1000);
  assert.equal(allowed(20), 5);
  clock.advance(600);
  assert.equal(allowed(20), 3);
  clock.advance(3_600_000);
  assert.equal(allowed(20), 10);
});

test('who stays below the rate goes on for ever', () => {
  const { clock, allowed } = setUp(10, 5);
  for (let i = 0; i < 1000; i++) {
    assert.equal(allowed(1), 1);
    clock.advance(201);
  }
});

test('somebody who becomes known has more, less what was used', () => {
  const { clock, guard, allowed } = setUp(10, 5);
  assert.equal(allowed(8), 8);
  guard.relax({ burst: 100, perSecond: 50 });
  assert.equal(allowed(200), 92);
  clock.advance(1000);
  assert.equal(allowed(200), 50);
});
