import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Arrivals } from './arrivals.ts';

test('a few connections are taken up at once, many over several turns and in order', async () => {
  const arrivals = new Arrivals();
  const taken: number[] = [];
  const come = (from: number, to: number) => {
    for (let i = from; i < to; i++) arrivals.add(() => taken.push(i));
  };
  come(0, 40);
  assert.equal(taken.length, 16);
  await turn();
  assert.equal(taken.length, 32);
  come(40, 60);
  assert.equal(taken.length, 32);
  await turn();
  assert.equal(taken.length, 48);
  await turn();
  assert.deepEqual(
    taken,
    Array.from({ length: 60 }, (_, i) => i),
  );
  await turn();
  await turn();
  come(60, 61);
  assert.equal(taken.length, 61);
});
