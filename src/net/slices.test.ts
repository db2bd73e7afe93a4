import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { inSlices } from './slices.ts';

function visit(count: number, withinMs: number) {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const visited: number[] = [];
  const things = Array.from({ length: count }, (_, i) => i);
  let done = false;
  void inSlices(things, withinMs, scope, (thing) => visited.push(thing)).then(() => {
    done = true;
  });
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 50) {
      clock.advance(50);
      await turn();
    }
  };
  return { clock, scope, visited, things, pass, done: () => done };
}

test('few are visited at once', async () => {
  const { visited, things, done } = visit(50, 10_000);
  assert.deepEqual(visited, things);
  await turn();
  assert.ok(done());
});

test('many are visited a thousand a second, in their order', async () => {
  const { visited, things, pass, done } = visit(2000, 10_000);
  assert.equal(visited.length, 50);
  await pass(1000);
  assert.equal(visited.length, 1050);
  assert.equal(done(), false);
  await pass(950);
  assert.deepEqual(visited, things);
  assert.ok(done());
});

test('too many for the time are visited faster', async () => {
  const { visited, things, pass } = visit(10_000, 500);
  assert.equal(visited.length, 1000);
  await pass(450);
  assert.deepEqual(visited, things);
});

test('without time all are visited at once', () => {
  const { visited, things } = visit(500, 0);
  assert.deepEqual(visited, things);
});

test('when the scope closes, nobody else is visited', async () => {
  const { clock, scope, visited, done } = visit(500, 10_000);
  scope.close();
  await turn();
  assert.equal(visited.length, 50);
  assert.ok(done());
  assert.equal(clock.pendingTimers, 0);
});
