import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../../test/support/recording_log.ts';
import type { AgentEvents, CallOptions, Usage } from '../../gitlab/client.ts';
import { Hint } from '../../observability/hints.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { createMemoryStore } from '../../store/memory/memory_store.ts';
import { UsageReporter } from './usage_reporter.ts';

const hint = `${Hint.gitlab}; nothing is lost by it yet`;

const PERIOD_MS = 60_000;

interface Sent {
  readonly at: number;
  readonly usage?: Record<string, number>;
  readonly unique?: Record<string, readonly bigint[]>;
  readonly events?: Record<string, number>;
}

/** A reporter with a GitLab that answers when and how the test says. */
function setUp() {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const { usageCounters: usage } = createMemoryStore({ clock });
  const { log, lines } = recordingLog();
  const sent: Sent[] = [];
  const play: { answer: (signal: AbortSignal) => Promise<void>; knowsEvents: boolean } = {
    answer: () => Promise.resolve(),
    knowsEvents: true,
  };
  const gitlab = {
    reportUsage({ counters, uniqueCounters }: Usage, { signal }: CallOptions) {
      const unique = Object.fromEntries(uniqueCounters);
      sent.push({ at: clock.monotonicMs(), usage: Object.fromEntries(counters), unique });
      return play.answer(signal);
    },
    async reportEvents(events: AgentEvents, { signal }: CallOptions) {
      const counts = Object.fromEntries([...events].map(([name, list]) => [name, list.length]));
      sent.push({ at: clock.monotonicMs(), events: counts });
      await play.answer(signal);
      return play.knowsEvents;
    },
  };
  const reporter = new UsageReporter({ gitlab, usage, periodMs: PERIOD_MS, log }, scope);
  return { clock, scope, usage, lines, sent, play, reporter };
}

/** Lets everything that waits for nothing but promises go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

async function passPeriod(clock: FakeClock): Promise<void> {
  clock.advance(PERIOD_MS);
  await settle();
}

test('nothing is sent before the period is over, nor while there is nothing', async () => {
  const { clock, usage, sent, reporter } = setUp();
  reporter.start();
  await passPeriod(clock);
  assert.deepEqual(sent, []);
  usage.increment('a');
  clock.advance(PERIOD_MS - 1);
  await settle();
  assert.deepEqual(sent, []);
  clock.advance(1);
  await settle();
  assert.deepEqual(sent, [{ at: 2 * PERIOD_MS, usage: { a: 1 }, unique: {} }]);
  await passPeriod(clock);
  assert.equal(sent.length, 1, 'not sent twice');
});

test('counters and events are reported apart: what one call does not take, the other call’s answer does not lose', async () => {
  const { clock, usage, sent, lines, play, reporter } = setUp();
  reporter.start();
  usage.increment('a');
  usage.addUnique('u', 1n);
  usage.addEvent('e', { id: 1n });
  let calls = 0;
  play.answer = () => (++calls === 1 ? Promise.reject(new Error('no way')) : Promise.resolve());
  await passPeriod(clock);
  assert.equal(sent.length, 2);
  usage.increment('a');
  await passPeriod(clock);
  assert.deepEqual(sent.slice(2), [{ at: 2 * PERIOD_MS, usage: { a: 2 }, unique: { u: [1n] } }]);
  assert.deepEqual(lines, [
    { level: 'error', message: 'Failed to send usage data', fields: { error: 'no way', hint } },
  ]);
});

test('a failing GitLab is asked once a period, and gets everything when it is back', async () => {
  const { clock, usage, sent, lines, play, reporter } = setUp();
  reporter.start();
  play.answer = () => Promise.reject(new Error('down'));
  for (let i = 0; i < 3; i++) {
    usage.increment('a');
    usage.addEvent('e', { id: BigInt(i) });
    await passPeriod(clock);
  }
  assert.equal(sent.length, 6);
  assert.equal(lines.length, 6);
  play.answer = () => Promise.resolve();
  await passPeriod(clock);
  assert.deepEqual(sent.slice(6), [
    { at: 4 * PERIOD_MS, usage: { a: 3 }, unique: {} },
    { at: 4 * PERIOD_MS, events: { e: 3 } },
  ]);
});

test('what is counted while a report is under way is in the next one', async () => {
  const { clock, usage, sent, play, reporter } = setUp();
  reporter.start();
  const { promise, resolve } = Promise.withResolvers<void>();
  play.answer = () => promise;
  usage.increment('a');
  await passPeriod(clock);
  usage.increment('a');
  usage.increment('a');
  resolve();
  await settle();
  await passPeriod(clock);
  assert.deepEqual(
    sent.map((s) => s.usage),
    [{ a: 1 }, { a: 2 }],
  );
});

test('many events go in calls of 500, as long as they are taken', async () => {
  const { clock, usage, sent, play, reporter } = setUp();
  reporter.start();
  for (let i = 0; i < 1200; i++) usage.addEvent('e', { id: BigInt(i) });
  let calls = 0;
  play.answer = () => (++calls === 2 ? Promise.reject(new Error('too much')) : Promise.resolve());
  await passPeriod(clock);
  await passPeriod(clock);
  assert.deepEqual(
    sent.map((s) => s.events?.e),
    [500, 500, 500, 200],
  );
});

test('a GitLab that does not know events is no error, and they do not pile up', async () => {
  const { clock, usage, sent, lines, play, reporter } = setUp();
  reporter.start();
  play.knowsEvents = false;
  usage.addEvent('e', { id: 1n });
  await passPeriod(clock);
  assert.equal(sent.length, 1);
  assert.deepEqual(usage.events(10), new Map());
  assert.deepEqual(lines, []);
});

test('what the limits have cost is said once a period', async () => {
  const { clock, usage, lines, reporter } = setUp();
  reporter.start();
  for (let i = 0; i < 20_007; i++) usage.addUnique('u', BigInt(i));
  await passPeriod(clock);
  await passPeriod(clock);
  assert.deepEqual(lines, [
    { level: 'warn', message: 'Dropped usage data that GitLab has not taken for too long', fields: { count: 7 } },
  ]);
});

test('the end sends what is left and nothing after that', async () => {
  const { clock, usage, sent, reporter } = setUp();
  reporter.start();
  usage.increment('a');
  await reporter.flush();
  assert.deepEqual(sent, [{ at: 0, usage: { a: 1 }, unique: {} }]);
  usage.increment('a');
  await passPeriod(clock);
  assert.equal(sent.length, 1);
  assert.equal(clock.pendingTimers, 0);
});

test('the end waits for the report under way, and does not send the same again', async () => {
  const { clock, usage, sent, play, reporter } = setUp();
  reporter.start();
  const { promise, resolve } = Promise.withResolvers<void>();
  play.answer = () => promise;
  usage.increment('a');
  await passPeriod(clock);
  usage.increment('b');
  const flushed = reporter.flush();
  await settle();
  assert.equal(sent.length, 1);
  resolve();
  await flushed;
  assert.deepEqual(
    sent.map((s) => s.usage),
    [{ a: 1 }, { b: 1 }],
  );
});

test('the end does not wait longer than 5 s for a GitLab that does not answer', async () => {
  const { clock, usage, lines, play, reporter } = setUp();
  reporter.start();
  play.answer = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  usage.increment('a');
  let isOver = false;
  const flushed = reporter.flush().then(() => {
    isOver = true;
  });
  await settle();
  clock.advance(4_999);
  await settle();
  assert.equal(isOver, false);
  assert.equal(lines.length, 0);
  clock.advance(1);
  await flushed;
  const fields = { error: 'not sent within 5 s', hint };
  assert.deepEqual([...lines], [{ level: 'error', message: 'Failed to send usage data', fields }]);
});

test('a report that was under way is cut after 5 s too, and not begun anew', async () => {
  const { clock, usage, sent, lines, play, reporter } = setUp();
  reporter.start();
  play.answer = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  usage.increment('a');
  await passPeriod(clock);
  const flushed = reporter.flush();
  clock.advance(5_000);
  await flushed;
  assert.equal(sent.length, 1);
  assert.equal(lines.length, 1);
});
