import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { type Queue, TokenBucket } from './token_bucket.ts';

const never = new AbortController().signal;

function setUp() {
  const clock = new FakeClock();
  const bucket = new TokenBucket(clock, { refillRatePerSecond: 10, bucketSize: 3 });
  const through: string[] = [];
  const take = async (name: string, signal = never, queue?: Queue) => {
    await bucket.take(signal, queue);
    through.push(name);
  };
  return { clock, bucket, through, take, settle: () => new Promise((resolve) => setImmediate(resolve)) };
}

test('the bucket at once, the rest at its rate and in order', async () => {
  const { clock, through, take, settle } = setUp();
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) void take(name);
  await settle();
  assert.deepEqual(through, ['a', 'b', 'c']);
  clock.advance(99);
  await settle();
  assert.equal(through.length, 3);
  clock.advance(1);
  await settle();
  assert.deepEqual(through, ['a', 'b', 'c', 'd']);
  clock.advance(200);
  await settle();
  assert.deepEqual(through, ['a', 'b', 'c', 'd', 'e', 'f']);
  assert.equal(clock.pendingTimers, 0);
});

test('a rest fills the bucket, not more', async () => {
  const { clock, through, take, settle } = setUp();
  clock.advance(60_000);
  for (let i = 0; i < 5; i++) void take(String(i));
  await settle();
  assert.equal(through.length, 3);
});

test('nobody overtakes those who wait', async () => {
  const { clock, through, take, settle } = setUp();
  for (const name of ['a', 'b', 'c', 'd', 'e']) void take(name);
  clock.advance(100);
  void take('late');
  await settle();
  assert.deepEqual(through, ['a', 'b', 'c', 'd']);
});

test('people and agents take turns, however many of the others wait', async () => {
  const { clock, through, take, settle } = setUp();
  for (const name of ['1', '2', '3', 'a', 'b', 'c', 'd']) void take(name);
  for (const name of ['P', 'Q', 'R']) void take(name, never, 'people');
  clock.advance(300);
  await settle();
  assert.deepEqual(through.slice(3), ['P', 'a', 'Q']);
  // The one queue has nobody for a while: the other one loses nothing.
  for (let i = 0; i < 4; i++) {
    clock.advance(100);
    await settle();
  }
  assert.deepEqual(through.slice(6), ['b', 'R', 'c', 'd']);
  assert.equal(clock.pendingTimers, 0);
});

test('who gives up leaves the turn to the next', async () => {
  const { clock, through, take, settle } = setUp();
  for (const name of ['a', 'b', 'c']) void take(name);
  const controller = new AbortController();
  const given = take('d', controller.signal);
  void take('e');
  controller.abort(new Error('gone'));
  await assert.rejects(given, { message: 'gone' });
  clock.advance(100);
  await settle();
  assert.deepEqual(through, ['a', 'b', 'c', 'e']);
  await assert.rejects(take('f', controller.signal), { message: 'gone' });
});

test('how long one would wait counts those that wait already', async () => {
  const { clock, bucket, take } = setUp();
  assert.equal(bucket.waitMs(), 0);
  for (const name of ['a', 'b', 'c']) void take(name);
  assert.equal(bucket.waitMs(), 100);
  void take('d');
  assert.equal(bucket.waitMs(), 200);
  clock.advance(50);
  assert.equal(bucket.waitMs(), 150);
});

test('how long each caller was held up is told, and whether it got through', async () => {
  const clock = new FakeClock();
  const seen: [number, boolean][] = [];
  const bucket = new TokenBucket(clock, { refillRatePerSecond: 10, bucketSize: 1 }, (ms, allowed) => {
    seen.push([Math.round(ms), allowed]);
  });
  await bucket.take(never);
  const leaver = new AbortController();
  const second = bucket.take(never);
  const third = bucket.take(leaver.signal);
  clock.advance(150);
  leaver.abort(new Error('gone'));
  await second;
  await assert.rejects(third, { message: 'gone' });
  assert.deepEqual(seen, [
    [0, true],
    [100, true],
    [150, false],
  ]);
});
