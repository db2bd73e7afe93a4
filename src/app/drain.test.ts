import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { recordingLog } from '../../test/support/recording_log.ts';
import type { Config } from '../config/config.ts';
import type { Front } from '../net/front.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { drain } from './drain.ts';

/** Lets what is due happen; what was just accepted takes a turn of the event loop of its own. */
async function nextTurn(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

const config = {
  agent: {
    listen: { listenGracePeriodMs: 5000 },
    kubernetesApi: { listen: { listenGracePeriodMs: 3000, shutdownGracePeriodMs: 60_000 } },
  },
  api: { listen: { listenGracePeriodMs: 0 } },
} as unknown as Config;

interface More {
  readonly from?: Config;
  readonly together?: () => Promise<void>;
  /** A front sends its clients away. */
  readonly tell?: (front: string, withinMs: number) => Promise<void>;
}

function setUp({ from = config, together, tell }: More = {}) {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const { log, lines } = recordingLog();
  const done: string[] = [];
  const becomeIdle: (() => void)[] = [];
  const front = (name: string): Front => ({
    network: 'tcp',
    address: '',
    accept: () => {},
    retire: () => done.push(`${name} retires`),
    prove: () => {},
    stopAccepting: async () => void done.push(`${name} stops accepting`),
    drain: async (withinMs) => {
      done.push(`${name} drains`);
      await tell?.(name, withinMs);
    },
    whenIdle: () => new Promise((resolve) => becomeIdle.push(resolve)),
    close: () => done.push(`${name} closes`),
    count: () => ({ connections: 0, sessions: 0, streams: 0 }),
  });
  let finished = false;
  const flush = () => Promise.resolve(void done.push('usage is reported'));
  const leave = () => void done.push('other nodes are told');
  const handOver = () => Promise.resolve(void done.push('agents are handed over'));
  const worker = together && { own: front('own'), together };
  const privateApi = front('b');
  const fronts = [front('a'), privateApi];
  void drain({ config: from, fronts, privateApi, worker, handOver, leave, flush, scope, log }).then(() => {
    finished = true;
  });
  return { clock, scope, lines, done, becomeIdle, finished: () => finished };
}

const retired = ['a retires', 'b retires', 'agents are handed over'];
const leaving = [...retired, 'a stops accepting', 'b stops accepting', 'a drains', 'other nodes are told', 'b drains'];

test('nothing changes during the longest grace period, then nobody new is let in anywhere before anybody drains', async () => {
  const { clock, done } = setUp();
  clock.advance(4999);
  await nextTurn();
  assert.deepEqual(done, retired);
  clock.advance(1);
  await nextTurn();
  assert.deepEqual(done, leaving);
});

test('it is over when everything is idle', async () => {
  const { clock, done, becomeIdle, finished, lines, scope } = setUp();
  clock.advance(5000);
  await nextTurn();
  becomeIdle[0]?.();
  await nextTurn();
  assert.equal(finished(), false);
  becomeIdle[1]?.();
  await nextTurn();
  assert.equal(finished(), true);
  assert.deepEqual(done, [...leaving, 'a closes', 'b closes', 'usage is reported']);
  assert.deepEqual(lines, []);
  scope.close();
  assert.equal(clock.pendingTimers, 0);
});

test('a worker keeps its agents, and its siblings their way to them, until all workers have stopped accepting', async () => {
  const allStopped = Promise.withResolvers<void>();
  const { clock, done } = setUp({ together: () => allStopped.promise });
  clock.advance(5000);
  await nextTurn();
  assert.deepEqual(done, [
    'a retires',
    'b retires',
    'own retires',
    'agents are handed over',
    'a stops accepting',
    'b stops accepting',
  ]);
  allStopped.resolve();
  await nextTurn();
  assert.deepEqual(done.slice(-5), [
    'own stops accepting',
    'a drains',
    'other nodes are told',
    'b drains',
    'own drains',
  ]);
});

test('other nodes keep their way to the agents until all of those have been sent away', async () => {
  const told = Promise.withResolvers<void>();
  const within: [string, number][] = [];
  const { clock, done, finished, becomeIdle } = setUp({
    tell(name, withinMs) {
      within.push([name, withinMs]);
      return name === 'a' ? told.promise : Promise.resolve();
    },
  });
  clock.advance(5000);
  await nextTurn();
  assert.equal(done.at(-1), 'a drains');
  told.resolve();
  await nextTurn();
  assert.deepEqual(done, leaving);
  assert.deepEqual(within, [
    ['a', 20_000], // a third of the grace period
    ['b', 20_000],
  ]);
  for (const wake of becomeIdle) wake();
  await nextTurn();
  assert.ok(finished());
});

test('sending agents away is cut at the deadline, too', async () => {
  const { clock, done, finished } = setUp({ tell: () => new Promise(() => {}) });
  clock.advance(5000);
  await nextTurn();
  clock.advance(60_000);
  await nextTurn();
  assert.ok(finished());
  assert.deepEqual(done.slice(-3), ['a closes', 'b closes', 'usage is reported']);
});

test('what still runs at the deadline is cut, and the log says so', async () => {
  const { clock, done, finished, lines } = setUp();
  clock.advance(5000);
  await nextTurn();
  clock.advance(59_999);
  await nextTurn();
  assert.equal(finished(), false);
  clock.advance(1);
  await nextTurn();
  assert.equal(finished(), true);
  assert.deepEqual(done, [...leaving, 'a closes', 'b closes', 'usage is reported']);
  assert.equal(lines[0]?.level, 'warn');
});

test('without the Kubernetes API an hour is given', async () => {
  const { clock, finished } = setUp({
    from: { agent: { listen: { listenGracePeriodMs: 0 } } } as unknown as Config,
  });
  await nextTurn();
  clock.advance(0);
  await nextTurn();
  clock.advance(3_599_999);
  await nextTurn();
  assert.equal(finished(), false);
  clock.advance(1);
  await nextTurn();
  assert.equal(finished(), true);
});
