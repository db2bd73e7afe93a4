import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { Rendezvous } from './rendezvous.ts';

function setUp(workers: readonly number[]) {
  const clock = new FakeClock();
  const rendezvous = new Rendezvous(new Scope(clock));
  for (const worker of workers) rendezvous.join(worker);
  const gone: number[] = [];
  return {
    rendezvous,
    gone,
    arrive: (worker: number) => void rendezvous.arrive(worker).then(() => gone.push(worker)),
    async pass(ms: number) {
      clock.advance(ms);
      await nextTurn();
    },
  };
}

test('all go on when the last one has come, and what it took last is settled', async () => {
  const { gone, arrive, pass } = setUp([1, 2, 3]);
  arrive(1);
  arrive(3);
  await pass(10_000);
  assert.deepEqual(gone, []);
  arrive(2);
  await pass(249);
  assert.deepEqual(gone, []);
  await pass(1);
  assert.deepEqual(gone.sort(), [1, 2, 3]);
});

test('nobody waits for one that has ended, before or after it came', async () => {
  const { rendezvous, gone, arrive, pass } = setUp([1, 2, 3]);
  arrive(2);
  rendezvous.leave(2);
  arrive(1);
  await pass(1000);
  assert.deepEqual(gone, []);
  rendezvous.leave(3);
  await pass(250);
  assert.deepEqual(gone, [1]);
});
