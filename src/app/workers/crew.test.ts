import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { linkedPair } from '../../../test/support/linked_pair.ts';
import { recordingLog } from '../../../test/support/recording_log.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import type { Link } from '../../runtime/link.ts';
import { Scope } from '../../runtime/scope.ts';
import { Readiness } from '../readiness.ts';
import { Crew } from './crew.ts';
import type { WorkerEnd } from './worker_process.ts';

/** The worker's side of one that was started. */
interface Started {
  readonly number: number;
  readonly link: Link;
  end(how: WorkerEnd): void;
}

const well = { missing: [], degraded: [] };

function setUp(size: number) {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const readiness = new Readiness();
  const { log, lines } = recordingLog();
  const started: Started[] = [];
  const served: string[] = [];
  const crew = new Crew({
    size,
    start(number) {
      const { here, there } = linkedPair();
      const { promise, resolve } = Promise.withResolvers<WorkerEnd>();
      started.push({ number, link: there, end: resolve });
      there.on('worker.shutdown', () => resolve(0));
      return { number, pid: 100 + number, link: here, ended: promise, signal: (name) => resolve(name) };
    },
    serve(number) {
      served.push(`+${number}`);
      return () => served.push(`-${number}`);
    },
    readiness,
    scope,
    random: { fraction: () => 0 } as never,
    log,
  });
  return { clock, scope, readiness, lines, started, served, crew };
}

/** A crew of two that is complete. */
async function complete() {
  const all = setUp(2);
  const starting = all.crew.start();
  for (const { link } of all.started) link.tell('worker.ready');
  await starting;
  for (const { link } of all.started) link.on('worker.health', () => well);
  return all;
}

test('it is complete when all workers are ready', async () => {
  const { crew, started, readiness } = setUp(2);
  let isComplete = false;
  const starting = crew.start().then(() => {
    isComplete = true;
  });
  assert.deepEqual(readiness.missing, ['worker 1: starting', 'worker 2: starting']);
  started[1]?.link.tell('worker.ready');
  await nextTurn();
  assert.equal(isComplete, false);
  assert.deepEqual(readiness.missing, ['worker 1: starting']);
  started[0]?.link.tell('worker.ready');
  await starting;
  assert.deepEqual(readiness.missing, []);
  assert.deepEqual(
    started.map(({ number }) => number),
    [1, 2],
  );
});

test('one that cannot start makes the start fail, with what it says', async () => {
  const { crew, started } = setUp(2);
  const starting = crew.start();
  void started[1]?.link.call('worker.failed', 'listen tcp :8150: bind: address already in use');
  started[1]?.end(1);
  await assert.rejects(starting, { message: 'listen tcp :8150: bind: address already in use' });
});

test('one that ends without a word while it starts makes the start fail', async () => {
  const { crew, started } = setUp(2);
  const starting = crew.start();
  started[0]?.end('SIGSEGV');
  await assert.rejects(starting, { message: 'worker 1 ended with SIGSEGV while it started' });
});

test('one that dies is started again, after a delay that grows', async () => {
  const { clock, started, readiness, lines, served } = await complete();
  for (const delayMs of [100, 200, 400]) {
    started.at(-1)?.end('SIGKILL');
    await nextTurn();
    const count = started.length;
    assert.deepEqual(readiness.missing, ['worker 2: has ended, is started again']);
    clock.advance(delayMs - 1);
    await nextTurn();
    assert.equal(started.length, count);
    clock.advance(1);
    await nextTurn();
    assert.equal(started.length, count + 1);
    assert.equal(started.at(-1)?.number, 2);
  }
  started.at(-1)?.link.tell('worker.ready');
  assert.deepEqual(readiness.missing, []);
  const told = lines.filter(({ message }) => message === 'A worker has ended, it is started again');
  assert.deepEqual(
    told.map(({ level, fields }) => [level, fields.worker, fields.ended_by, fields.delay_ms]),
    [100, 200, 400].map((delayMs) => ['error', 2, 'SIGKILL', delayMs]),
  );
  assert.deepEqual(served, ['+1', '+2', '-2', '+2', '-2', '+2', '-2', '+2']);
});

test('what a worker lacks, or does without, is what the server does', async () => {
  const { clock, started, readiness } = await complete();
  started[0]?.link.on('worker.health', () => ({
    missing: ['agentServer: not ready yet'],
    degraded: ['gitlab: refuses the secret'],
  }));
  clock.advance(2000);
  await nextTurn();
  assert.deepEqual(readiness.missing, ['worker 1: agentServer: not ready yet']);
  assert.deepEqual(readiness.degraded, ['worker 1: degraded: gitlab: refuses the secret']);
  started[0]?.link.on('worker.health', () => well);
  clock.advance(2000);
  await nextTurn();
  assert.deepEqual([...readiness.missing, ...readiness.degraded], []);
});

test('what a worker has done without does not outlive it', async () => {
  const { clock, started, readiness } = await complete();
  started[0]?.link.on('worker.health', () => ({ missing: [], degraded: ['gitlab: refuses the secret'] }));
  clock.advance(2000);
  await nextTurn();
  assert.equal(readiness.degraded.length, 1);
  started[0]?.end('SIGKILL');
  await nextTurn();
  assert.deepEqual(readiness.degraded, []);
});

test('a worker that does not answer is killed and started again', async () => {
  const { clock, started, lines } = await complete();
  started[0]?.link.on('worker.health', () => new Promise(() => {}));
  clock.advance(2000);
  await nextTurn();
  clock.advance(29_999);
  await nextTurn();
  assert.equal(started.length, 2);
  clock.advance(1);
  await nextTurn();
  clock.advance(100);
  await nextTurn();
  assert.equal(started[2]?.number, 1);
  assert.ok(
    lines.some(
      ({ message, fields }) => message === 'A worker does not answer, killing it' && fields.worker_pid === 101,
    ),
  );
});

test('all are told to leave, and nobody is started again', async () => {
  const { crew, clock, started, lines } = await complete();
  await crew.leave(5000);
  clock.advance(60_000);
  await nextTurn();
  assert.equal(started.length, 2);
  assert.deepEqual(
    lines.filter(({ level }) => level === 'warn' || level === 'error'),
    [],
  );
});

test('who does not leave in time is killed', async () => {
  const { crew, clock, started, lines } = await complete();
  started[0]?.link.on('worker.shutdown', () => {});
  const left = crew.leave(5000);
  await nextTurn();
  clock.advance(5000);
  await left;
  assert.ok(lines.some(({ message }) => message === 'Killing workers that have not ended in time'));
});

test('told to leave while a worker waits to be started again, it does not wait for that', async () => {
  const { crew, clock, started } = await complete();
  started[0]?.end('SIGKILL');
  await nextTurn();
  await crew.leave(5000);
  clock.advance(60_000);
  await nextTurn();
  assert.equal(started.length, 2);
});

test('told to leave while it starts, it is over when those that were started have left', async () => {
  const { crew } = setUp(2);
  const starting = crew.start();
  await crew.leave(5000);
  await starting;
});
