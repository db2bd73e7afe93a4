import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Backoff } from './backoff.ts';
import { FakeClock } from './fake_clock.ts';
import { PollLoop } from './poll_loop.ts';
import { Scope } from './scope.ts';

function setUp(round: (n: number) => Promise<number | undefined> = () => Promise.resolve(1000)) {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const loop = new PollLoop(scope);
  const rounds: number[] = [];
  const ended = loop.run(() => round(rounds.push(clock.monotonicMs())));
  ended.catch(() => {});
  const advance = async (ms: number) => {
    clock.advance(ms);
    await nextTurn();
  };
  return { clock, scope, loop, rounds, ended, advance };
}

test('a round comes after the wait that the one before it asked for', async () => {
  const { rounds, advance } = setUp((n) => Promise.resolve(n * 1000));
  await nextTurn();
  for (const ms of [999, 1, 1999, 1]) await advance(ms);
  assert.deepEqual(rounds, [0, 1000, 3000]);
});

test('a poke cuts the wait short, once', async () => {
  const { rounds, advance, loop, clock } = setUp();
  await nextTurn();
  await advance(10);
  loop.poke();
  await nextTurn();
  assert.deepEqual(rounds, [0, 10]);
  assert.equal(clock.pendingTimers, 1);
  await advance(999);
  assert.equal(rounds.length, 2);
});

test('a poke during a round is remembered, several are one', async () => {
  let finish = () => {};
  const { rounds, loop } = setUp(
    (n) =>
      new Promise((resolve) => {
        if (n === 1) finish = () => resolve(1000);
        else resolve(1000);
      }),
  );
  loop.poke();
  loop.poke();
  finish();
  await nextTurn();
  assert.deepEqual(rounds, [0, 0]);
});

test('the loop ends with its scope, with undefined, and with an error', async () => {
  const waiting = setUp();
  await nextTurn();
  waiting.scope.close();
  await waiting.ended;
  assert.deepEqual([waiting.rounds, waiting.clock.pendingTimers], [[0], 0]);
  await setUp(() => Promise.resolve(undefined)).ended;
  await assert.rejects(setUp(() => Promise.reject(new Error('no'))).ended, /no/);
});

test('delays grow to a limit, jitter comes on top, and a quiet time makes them small again', () => {
  const clock = new FakeClock();
  const options = { initMs: 10, maxMs: 60, resetMs: 200, factor: 2, jitter: 1 };
  let fraction = 0;
  const backoff = new Backoff(options, { clock, random: { fraction: () => fraction, bytes: () => Buffer.alloc(0) } });
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => backoff.nextMs()),
    [10, 20, 40, 60, 60],
  );
  fraction = 0.5;
  assert.equal(backoff.nextMs(), 90);
  clock.advance(200);
  assert.equal(backoff.nextMs(), 90);
  clock.advance(201);
  assert.equal(backoff.nextMs(), 15);
});
