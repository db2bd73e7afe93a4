import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { TunnelPresence } from './presence.ts';

function setUp() {
  const clock = new FakeClock();
  const told: string[] = [];
  const directory = {
    announce: (agentId: bigint) => void told.push(`announce ${agentId}`),
    withdraw: (agentId: bigint) => void told.push(`withdraw ${agentId}`),
    leave: () => Promise.resolve(),
    nodesOf: () => Promise.resolve([]),
  };
  return { clock, told, presence: new TunnelPresence(directory, new Scope(clock)) };
}

test('an agent is announced once, however often its tunnels are used up for moments', () => {
  const { clock, told, presence } = setUp();
  for (let i = 0; i < 10; i++) {
    presence.appeared(1n);
    presence.emptied(1n);
    clock.advance(4000);
  }
  presence.appeared(1n);
  clock.advance(60_000);
  assert.deepEqual(told, ['announce 1']);
  assert.equal(clock.pendingTimers, 0);
});

test('an agent without an idle tunnel for 5 s is withdrawn, and announced again when it has one', () => {
  const { clock, told, presence } = setUp();
  presence.appeared(1n);
  presence.appeared(2n);
  presence.emptied(1n);
  clock.advance(4900);
  assert.deepEqual(told, ['announce 1', 'announce 2']);
  clock.advance(1200);
  assert.deepEqual(told.slice(2), ['withdraw 1']);
  assert.equal(presence.agents, 1);
  presence.appeared(1n);
  assert.deepEqual(told.slice(3), ['announce 1']);
});

test('when an agent was last seen is remembered for an hour', () => {
  const { clock, presence } = setUp();
  assert.equal(presence.lastSeenMs(1n), undefined);
  presence.appeared(1n);
  clock.advance(1000);
  assert.equal(presence.lastSeenMs(1n), clock.wallMs());
  const leftAt = clock.wallMs();
  presence.emptied(1n);
  clock.advance(10_000);
  assert.ok(Math.abs((presence.lastSeenMs(1n) ?? 0) - leftAt) <= 1000);
  clock.advance(3_600_000);
  assert.equal(presence.lastSeenMs(1n), undefined);
});
