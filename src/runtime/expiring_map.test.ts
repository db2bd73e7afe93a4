import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExpiringMap } from './expiring_map.ts';
import { FakeClock } from './fake_clock.ts';

test('an entry is gone when its time is over', () => {
  const clock = new FakeClock();
  const map = new ExpiringMap<number>(clock, 10);
  map.set('a', 1, 1000);
  clock.advance(999);
  assert.equal(map.get('a'), 1);
  clock.advance(1);
  assert.equal(map.get('a'), undefined);
});

test('entries leave the memory without being asked for, and then no timer is left', () => {
  const clock = new FakeClock();
  const map = new ExpiringMap<number>(clock, 10);
  map.set('a', 1, 1000);
  clock.advance(600);
  map.set('b', 2, 1000);
  clock.advance(400);
  assert.equal(map.size, 1);
  clock.advance(1000);
  assert.equal(map.size, 0);
  assert.equal(clock.pendingTimers, 0);
});

test('a shorter life brings the sweep forward', () => {
  const clock = new FakeClock();
  const map = new ExpiringMap<number>(clock, 10);
  map.set('long', 1, 60_000);
  map.set('short', 2, 10);
  clock.advance(10);
  assert.equal(map.size, 1);
  clock.advance(120_000);
  assert.equal(map.size, 0);
});

test('a full map forgets its oldest entry', () => {
  const map = new ExpiringMap<number>(new FakeClock(), 2);
  map.set('a', 1, 1000);
  map.set('b', 2, 1000);
  map.set('a', 3, 1000);
  map.set('c', 4, 1000);
  assert.equal(map.get('b'), undefined);
  assert.equal(map.get('a'), 3);
  assert.equal(map.get('c'), 4);
});

test('a deleted entry is not found', () => {
  const map = new ExpiringMap<number>(new FakeClock(), 2);
  map.set('a', 1, 1000);
  map.delete('a');
  assert.equal(map.get('a'), undefined);
});
