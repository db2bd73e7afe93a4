import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { measureEventLoopDelay } from './event_loop_delay.ts';

test('how late a timer is counts, as long as the scope is open', async () => {
  const clock = new FakeClock();
  let lateMs = 0;
  const scope = new Scope({
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
    startTimer: (delayMs, f) => clock.startTimer(delayMs + lateMs, f),
  });
  const registry = new Registry();
  measureEventLoopDelay(registry, scope);
  lateMs = 300;
  clock.advance(100); // in time
  clock.advance(400); // late
  scope.close();
  const page = await registry.metrics();
  assert.match(page, /_bucket\{le="0.001"\} 1\n/);
  assert.match(page, /_bucket\{le="0.25"\} 1\n/);
  assert.match(page, /_bucket\{le="0.5"\} 2\n/);
  assert.equal(clock.pendingTimers, 0);
});
