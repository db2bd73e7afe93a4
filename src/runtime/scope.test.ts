import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from './fake_clock.ts';
import { Scope } from './scope.ts';

function setUp() {
  const clock = new FakeClock();
  return { clock, scope: new Scope(clock) };
}

test('closing closes what is owned, newest first, with the reason', () => {
  const { scope } = setUp();
  const closed: unknown[] = [];
  const first = { close: (reason: unknown) => closed.push('first', reason) };
  assert.equal(scope.own(first), first);
  scope.own({ close: () => closed.push('second') });
  assert.deepEqual([scope.closed, scope.reason], [false, undefined]);
  scope.close('why');
  scope.close('again');
  assert.deepEqual(closed, ['second', 'first', 'why']);
  assert.deepEqual([scope.closed, scope.reason], [true, 'why']);
});

test('what comes to a closed scope is closed at once', () => {
  const { scope, clock } = setUp();
  scope.close('why');
  const closed: unknown[] = [];
  scope.own({ close: (reason) => closed.push(reason) });
  assert.deepEqual(closed, ['why']);
  assert.equal(scope.child().closed, true);
  scope.timeout(1, () => assert.fail('fired')).stop();
  assert.equal(clock.pendingTimers, 0);
});

test('what was given up is not closed', () => {
  const { scope } = setUp();
  const thing = scope.own({ close: () => assert.fail('closed') });
  scope.disown(thing);
  scope.close();
});

test('children are closed with their parent, or earlier and then forgotten', () => {
  const { scope } = setUp();
  const [early, late] = [scope.child(), scope.child()];
  const grandchild = late.child();
  early.close();
  assert.deepEqual([scope.closed, early.closed, late.closed], [false, true, false]);
  scope.close('why');
  assert.deepEqual([late.reason, grandchild.reason], ['why', 'why']);
});

test('a timeout fires once in its time, unless stopped or closed', () => {
  const { scope, clock } = setUp();
  const fired: string[] = [];
  scope.timeout(10, () => fired.push('due'));
  scope.timeout(10, () => fired.push('stopped')).stop();
  scope.timeout(20, () => fired.push('closed'));
  clock.advance(9);
  assert.deepEqual(fired, []);
  clock.advance(1);
  assert.deepEqual(fired, ['due']);
  scope.close();
  assert.equal(clock.pendingTimers, 0);
});

test('sleep says whether it was left to its end', async () => {
  const { scope, clock } = setUp();
  const [whole, broken] = [scope.sleep(10), scope.sleep(20)];
  clock.advance(10);
  scope.close();
  assert.deepEqual(await Promise.all([whole, broken, scope.sleep(5)]), [true, false, false]);
  assert.equal(clock.pendingTimers, 0);
});

test('the signal fires with the scope, also when it is first asked for afterwards', () => {
  const { scope } = setUp();
  const { signal } = scope;
  assert.equal(signal, scope.signal);
  assert.equal(signal.aborted, false);
  scope.close('why');
  assert.deepEqual([signal.aborted, signal.reason], [true, 'why']);

  const late = setUp().scope;
  late.close();
  assert.deepEqual([late.signal.aborted, (late.signal.reason as Error).message], [true, 'scope closed']);
});

test('the signal of one piece of work fires with the scope, and is let go with the work', async () => {
  const { scope } = setUp();
  const signals: AbortSignal[] = [];
  const work = async (signal: AbortSignal) => signals.push(signal);
  assert.equal(await scope.during(work), 1);
  const going = scope.during((signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)));
  scope.close('why');
  await going;
  await scope.during(work);
  assert.deepEqual(
    signals.map(({ aborted, reason }) => [aborted, reason]),
    [
      [false, undefined],
      [true, 'why'],
    ],
  );
  await assert.rejects(
    scope.during(() => Promise.reject(new Error('no'))),
    /no/,
  );
});

test('what throws while it is closed keeps nothing else from being closed', () => {
  const { scope } = setUp();
  const failure = new Error('broken');
  let closed = 0;
  scope.own({ close: () => closed++ });
  scope.own({
    close() {
      throw failure;
    },
  });
  assert.throws(
    () => scope.close(),
    (error: AggregateError) => error.errors[0] === failure,
  );
  assert.equal(closed, 1);
});

test('what is owned may close the scope it belongs to', () => {
  const { scope } = setUp();
  let closed = 0;
  scope.own({
    close() {
      closed++;
      scope.close();
    },
  });
  scope.close();
  assert.equal(closed, 1);
});
