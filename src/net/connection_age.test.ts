import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionAge } from './connection_age.ts';

const random = (value: number) => ({ fraction: () => value, bytes: (n: number) => Buffer.alloc(n) });
const hours = 3_600_000;

test('the parts of a connection age without luck either way', () => {
  const age = connectionAge(2 * hours, random(0.5));
  assert.equal(age.goAwayMs, 24 * 60_000);
  assert.equal(age.ageMs, 36.9 * 60_000);
  assert.equal(age.closeMs, (24 + 78) * 60_000);
});

test('GOAWAY is spread by a tenth, the age by a twentieth', () => {
  const early = connectionAge(30_000, random(0));
  const late = connectionAge(30_000, random(1));
  assert.equal(Math.round(early.goAwayMs), 5400);
  assert.equal(Math.round(late.goAwayMs), 6600);
  assert.equal(Math.round(early.ageMs), 9000);
  assert.equal(Math.round(late.ageMs), 9450);
});

test('whatever the luck, GOAWAY comes before the age and that before the end', () => {
  for (const luck of [0, 0.5, 1]) {
    const { goAwayMs, ageMs, closeMs } = connectionAge(1000, random(luck));
    assert.ok(goAwayMs < ageMs && ageMs < closeMs);
  }
});
