import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { KEEPALIVE_CHECK_MS } from './keepalive.ts';
import { Rounds } from './rounds.ts';
import { ManagedSession, type SessionLink } from './session.ts';

/** A connection as its session uses it. */
class FakeLink implements SessionLink {
  readonly calls: string[] = [];
  destroyed = false;
  ended = () => {};

  close(): void {
    this.calls.push('close');
  }

  ping(): void {
    this.calls.push('ping');
  }

  trust(): void {
    this.calls.push('trust');
  }

  fail(code: number, reason: string): void {
    this.calls.push(`fail ${code} ${reason}`);
  }

  destroy(): void {
    if (this.destroyed) return;
    this.calls.push('destroy');
    this.destroyed = true;
    this.ended();
  }
}

function setUp(age?: { goAwayMs: number; ageMs: number; closeMs: number }) {
  const clock = new FakeClock();
  const fake = new FakeLink();
  const transport = { bytesRead: 0, bytesWritten: 0 };
  const listener = new Scope(clock);
  const session = new ManagedSession(fake, listener.child(), {
    rounds: new Rounds(listener, KEEPALIVE_CHECK_MS),
    remoteAddress: '192.0.2.1',
    transport,
    age,
    window: undefined,
    entrance: undefined,
    limitPings: true,
    onLeave: undefined,
  });
  fake.ended = () => session.ended();
  return { clock, fake, transport, session };
}

test('a session gets old in three steps', () => {
  const { clock, fake, transport, session } = setUp({ goAwayMs: 2000, ageMs: 3000, closeMs: 9000 });
  let aged = 0;
  session.onAge(() => aged++);
  const early = session.onAge(() => aged++);
  early();
  clock.advance(1999);
  assert.deepEqual(fake.calls, []);
  clock.advance(1);
  assert.deepEqual(fake.calls, ['close']);
  clock.advance(999);
  assert.equal(aged, 0);
  clock.advance(1);
  assert.equal(aged, 1);
  session.onAge(() => aged++); // at once from now on
  assert.equal(aged, 2);
  transport.bytesRead++;
  clock.advance(5999);
  assert.deepEqual(fake.calls, ['close']);
  clock.advance(1);
  assert.deepEqual(fake.calls, ['close', 'destroy']);
  assert.ok(session.scope.closed);
  clock.advance(KEEPALIVE_CHECK_MS); // the rounds find nobody left
  assert.equal(clock.pendingTimers, 0);
});

test('steps of the age that are far away have no timer, and come on time', () => {
  const { clock, fake, transport, session } = setUp({ goAwayMs: 360_123, ageMs: 540_000, closeMs: 1_530_000 });
  session.onAge(() => fake.calls.push('aged'));
  const live = (ms: number) => {
    for (; ms > 0; ms -= 1000) {
      transport.bytesRead++;
      clock.advance(Math.min(ms, 1000));
    }
  };
  live(340_000);
  assert.equal(clock.pendingTimers, 1); // that of the rounds
  live(20_122);
  assert.deepEqual(fake.calls, []);
  live(1);
  assert.deepEqual(fake.calls, ['close']);
  live(179_876);
  assert.deepEqual(fake.calls, ['close']);
  live(1);
  assert.deepEqual(fake.calls, ['close', 'aged']);
  live(989_999);
  assert.deepEqual(fake.calls, ['close', 'aged']);
  live(1);
  assert.deepEqual(fake.calls, ['close', 'aged', 'destroy']);
});

test('draining ages a session and sends GOAWAY, once', () => {
  const { fake, session } = setUp();
  let aged = 0;
  session.onAge(() => aged++);
  session.drain();
  session.drain();
  assert.equal(aged, 1);
  assert.deepEqual(fake.calls, ['close']);
});

test('a peer that has gone silent is pinged, then cut', () => {
  const { clock, fake, transport } = setUp();
  for (let i = 0; i < 20; i++) {
    transport.bytesRead += 10;
    clock.advance(10_000);
  }
  assert.deepEqual(fake.calls, []);
  clock.advance(55_000);
  assert.deepEqual(fake.calls, ['ping']);
  clock.advance(25_000);
  assert.deepEqual(fake.calls, ['ping', 'destroy']);
});

test('a client that pings without pause is sent away with the reason', () => {
  const { fake, transport, session } = setUp();
  for (let i = 0; i < 4; i++) {
    transport.bytesRead += 17;
    session.pinged();
  }
  assert.deepEqual(fake.calls, ['fail 11 too_many_pings']);
});

test('a session that ends by itself closes its scope and leaves no timer', () => {
  const { clock, fake, session } = setUp({ goAwayMs: 2000, ageMs: 3000, closeMs: 9000 });
  fake.destroyed = true;
  session.ended();
  assert.ok(session.scope.closed);
  clock.advance(KEEPALIVE_CHECK_MS); // the rounds find nobody left
  assert.equal(clock.pendingTimers, 0);
});

test('closing the scope ends the session', () => {
  const { fake, session } = setUp();
  session.scope.close();
  assert.deepEqual(fake.calls, ['destroy']);
});
