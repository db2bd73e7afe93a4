import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { FakeClock } from './fake_clock.ts';
import { collectAfterCrowds } from './quiet_heap.ts';
import { Scope } from './scope.ts';

const onDeno = process.versions.deno !== undefined && 'there is no such switch on Deno';

function setUp() {
  const clock = new FakeClock();
  const scope = new Scope(clock);
  const told: [number, boolean][] = [];
  const times = { active: 0, idle: 0 };
  const world = { open: 0 };
  collectAfterCrowds({
    scope,
    open: () => world.open,
    loopTimes: () => ({ ...times }),
    saveMemory: (on) => void told.push([clock.monotonicMs(), on]),
  });
  /** The process works for a part of the time. */
  const work = (part: number, ms: number) => {
    for (; ms > 0; ms -= 500) {
      times.active += part * 500;
      times.idle += (1 - part) * 500;
      clock.advance(500);
    }
    return told.splice(0);
  };
  return { clock, scope, world, work };
}

test('when crowds have come and when they have gone, memory is saved for four seconds of quiet', {
  skip: onDeno,
}, () => {
  const { clock, scope, world, work } = setUp();
  world.open = 199;
  assert.deepEqual(work(0.05, 5000), []);
  world.open = 1000;
  assert.deepEqual(work(0.9, 1000), []);
  assert.deepEqual(work(0.15, 1500), []); // neither quiet nor busy
  assert.deepEqual(work(0.05, 10_000), [
    [8500, true],
    [12_500, false],
  ]);
  world.open = 800;
  assert.equal(work(0.05, 10_000).length, 2);
  assert.deepEqual(work(0.05, 10_000), []);
  scope.close();
  assert.equal(clock.pendingTimers, 0);
});

test('work ends it, and it does not begin again', { skip: onDeno }, () => {
  const { world, work } = setUp();
  world.open = 1000;
  assert.deepEqual(work(0.05, 2000), [[1000, true]]);
  assert.deepEqual(work(0.25, 1000), [[2500, false]]);
  assert.deepEqual(work(0.05, 5500), []);
});

/** Fills the heap with what stays for a moment, lets it go, and says how much of the heap is left four seconds later. */
const CROWD = `
  import { getHeapStatistics } from 'node:v8';
  const [quietHeap, scopes, clocks] = process.argv.slice(1);
  const { collectAfterCrowds } = await import(quietHeap);
  const { Scope } = await import(scopes);
  const { systemClock } = await import(clocks);
  let open = 0;
  collectAfterCrowds({ scope: new Scope(systemClock), open: () => open });
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  await pause(6000);
  const heapMiB = () => getHeapStatistics().total_physical_size / 2 ** 20;
  let crowd = [];
  const began = performance.now();
  while (performance.now() - began < 1500) {
    for (let i = 0; i < 10_000 && crowd.length < 400_000; i++) crowd.push({ name: 'agent-' + i, tunnels: [i] });
    await new Promise(setImmediate);
  }
  crowd = undefined;
  open = Number(process.env.OPEN);
  const full = heapMiB();
  await pause(4000);
  console.log(heapMiB() / full);
`;

test('a heap that a crowd has left becomes small again by itself', { skip: onDeno }, async () => {
  const run = async (open: number) => {
    const flags = ['--memory-reducer-delay-ms=1000', '--gc-memory-reducer-start-delay-ms=1000'];
    const script = ['--input-type=module', '--eval', CROWD, '--'];
    const modules = ['./quiet_heap.ts', './scope.ts', './clock.ts'].map((name) => import.meta.resolve(name));
    const env = { ...process.env, OPEN: String(open) };
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...script, ...modules], { env });
    return Number(stdout);
  };
  const [left, untouched] = await Promise.all([run(1000), run(10)]);
  assert.ok(left < 0.5, `${Math.round(left * 100)} % of the heap are left`);
  assert.ok(untouched > 0.7, `${Math.round(untouched * 100)} % of the heap are left`);
});
