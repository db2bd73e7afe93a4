import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { type FrontLimits, Gate } from './gate.ts';

function setUp(limits: Partial<FrontLimits> = {}) {
  const clock = new FakeClock();
  const hits: string[] = [];
  const hit = (name: string) => () => void hits.push(name);
  const gate = new Gate(
    {
      connections: 100,
      newcomers: 100,
      newcomerMs: 30_000,
      shared: undefined,
      headerBytes: 1,
      streamsPerConnection: 1,
      hits: {
        connections: hit('connections'),
        fileDescriptors: hit('fileDescriptors'),
        newcomers: hit('newcomers'),
        newcomerTime: hit('newcomerTime'),
        headerBytes: hit('headerBytes'),
        streams: hit('streams'),
      },
      ...limits,
    },
    new Scope(clock),
  );
  const enter = () => {
    const connection = new Duplex({ read() {}, write() {} });
    assert.deepEqual([gate.arrive(), gate.enter()], [true, true]);
    connection.once('close', () => gate.left());
    gate.watch(connection);
    return connection;
  };
  /** One that goes at once if it may not stay. */
  const come = () => {
    if (!gate.arrive()) return false;
    if (gate.enter()) return true;
    gate.left();
    return false;
  };
  return { clock, gate, hits, enter, come };
}

test('a connection too many is refused, one that has gone makes room', async () => {
  const { come, hits, enter } = setUp({ connections: 2 });
  const first = enter();
  enter();
  assert.equal(come(), false);
  assert.deepEqual(hits, ['connections']);
  first.destroy();
  await settled();
  assert.equal(come(), true);
});

test('a connection that nobody has had time for does not count among those that say nothing', () => {
  const { gate, hits } = setUp({ newcomers: 1, connections: 3 });
  assert.deepEqual([gate.arrive(), gate.arrive(), gate.arrive(), gate.arrive()], [true, true, true, false]);
  assert.deepEqual([gate.enter(), gate.enter()], [true, false]);
  assert.deepEqual(hits, ['connections', 'newcomers']);
});

test('listeners share the file descriptors', () => {
  const shared = { max: 2, open: 1 };
  const { gate, come, hits } = setUp({ shared });
  assert.deepEqual([come(), come()], [true, false]);
  assert.deepEqual(hits, ['fileDescriptors']);
  gate.left();
  assert.equal(shared.open, 1);
});

test('those that say nothing are limited, those that have said something make room, once', async () => {
  const { gate, come, hits, enter } = setUp({ newcomers: 2 });
  const [first, second] = [enter(), enter()];
  assert.equal(come(), false);
  assert.deepEqual(hits, ['newcomers']);
  gate.show(first, () => true);
  gate.show(first, () => true);
  gate.prove(first);
  enter();
  assert.equal(come(), false);
  gate.prove(second);
  gate.prove(second);
  enter();
  assert.equal(come(), false);
  // What a connection gave, it takes along.
  first.destroy();
  await settled();
  assert.equal(come(), false);
});

test('after its time a silent connection is closed, a known one is not', async () => {
  const { gate, clock, hits, enter } = setUp();
  const silent = enter();
  const known = enter();
  gate.prove(known);
  clock.advance(29_999);
  const late = enter();
  assert.equal(silent.destroyed, false);
  clock.advance(1);
  assert.deepEqual([silent.destroyed, known.destroyed, late.destroyed], [true, false, false]);
  assert.deepEqual(hits, ['newcomerTime']);
  clock.advance(29_999);
  assert.equal(late.destroyed, true);
  await settled();
  assert.equal(clock.pendingTimers, 0);
});

test('whose credential is still being looked at gets time again, until it is refused', () => {
  const { gate, clock, enter } = setUp();
  let asking = true;
  const connection = enter();
  gate.show(connection, () => asking);
  clock.advance(60_000);
  assert.equal(connection.destroyed, false);
  asking = false;
  clock.advance(30_000);
  assert.equal(connection.destroyed, true);
});

test('a connection that was lost is not waited for', async () => {
  const { clock, hits, enter } = setUp();
  enter().destroy();
  await settled();
  clock.advance(30_000);
  assert.deepEqual(hits, []);
  assert.equal(clock.pendingTimers, 0);
});
