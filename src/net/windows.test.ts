import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WindowBudget } from './windows.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** A session whose peer acknowledges when told to. */
function peer(budget: WindowBudget) {
  const told: number[] = [];
  let acknowledge: (() => void) | undefined;
  const window = budget.session((bytes, applied) => {
    told.push(bytes);
    acknowledge = applied;
  });
  return {
    window,
    told,
    acknowledge() {
      const f = acknowledge;
      acknowledge = undefined;
      f?.();
    },
  };
}

test('a session begins with the largest window that the budgets allow', () => {
  assert.equal(
    new WindowBudget({ perConnectionBytes: 64 * MiB, totalBytes: 256 * MiB }).session(() => {}).bytes,
    4 * MiB,
  );
  assert.equal(
    new WindowBudget({ perConnectionBytes: 3 * MiB, totalBytes: 256 * MiB }).session(() => {}).bytes,
    2 * MiB,
  );
  assert.equal(new WindowBudget({ perConnectionBytes: 1, totalBytes: 1 }).session(() => {}).bytes, 64 * KiB);
});

test('busy streams share the budget of their connection, in powers of two', () => {
  const { window, told, acknowledge } = peer(new WindowBudget({ perConnectionBytes: 8 * MiB, totalBytes: 1024 * MiB }));
  for (let i = 0; i < 9; i++) {
    window.streamBusy();
    acknowledge();
  }
  assert.deepEqual(told, [2 * MiB, 1 * MiB, 512 * KiB]); // at 3, 5 and 9 streams
});

test('a window never gets smaller than 64 KiB', () => {
  const { window, told, acknowledge } = peer(new WindowBudget({ perConnectionBytes: MiB, totalBytes: MiB }));
  for (let i = 0; i < 1000; i++) {
    window.streamBusy();
    acknowledge();
  }
  assert.equal(told.at(-1), 64 * KiB);
});

test('one SETTINGS frame at a time; what changed meanwhile follows its acknowledgement', () => {
  const { window, told, acknowledge } = peer(new WindowBudget({ perConnectionBytes: 8 * MiB, totalBytes: 1024 * MiB }));
  for (let i = 0; i < 32; i++) window.streamBusy();
  assert.deepEqual(told, [2 * MiB]);
  acknowledge();
  assert.deepEqual(told, [2 * MiB, 256 * KiB]);
  acknowledge();
  assert.equal(told.length, 2);
});

test('memory is taken back at once and given only when asked', () => {
  const { window, told, acknowledge } = peer(new WindowBudget({ perConnectionBytes: 8 * MiB, totalBytes: 1024 * MiB }));
  for (let i = 0; i < 3; i++) window.streamBusy();
  acknowledge();
  for (let i = 0; i < 3; i++) window.streamIdle();
  assert.deepEqual(told, [2 * MiB]);
  window.grow();
  assert.deepEqual(told, [2 * MiB, 4 * MiB]);
  acknowledge();
  window.grow();
  assert.equal(told.length, 2);
});

test('the budget of the process binds all sessions with busy streams, and only those', () => {
  const budget = new WindowBudget({ perConnectionBytes: 64 * MiB, totalBytes: 16 * MiB });
  const busy = Array.from({ length: 8 }, () => peer(budget));
  const idle = peer(budget);
  for (const { window, acknowledge } of busy) {
    window.streamBusy();
    for (const other of busy) other.acknowledge();
    acknowledge();
  }
  for (const { told } of busy) assert.equal(told.at(-1), 2 * MiB);
  assert.deepEqual(idle.told, []);
  idle.window.streamBusy();
  assert.equal(idle.told.at(-1), 1 * MiB);
});

test('a session that is gone gives its part back', () => {
  const budget = new WindowBudget({ perConnectionBytes: 64 * MiB, totalBytes: 8 * MiB });
  const gone = peer(budget);
  const left = peer(budget);
  left.window.streamBusy();
  for (let i = 0; i < 15; i++) gone.window.streamBusy();
  left.acknowledge();
  assert.equal(left.told.at(-1), 512 * KiB);
  gone.window.close();
  gone.window.close();
  gone.window.streamIdle();
  left.acknowledge();
  left.window.grow();
  assert.equal(left.told.at(-1), 4 * MiB);
});

test('a limit for one stream holds whatever the budgets; a total that is no longer kept to is told of', () => {
  let exceeded = 0;
  const limits = { perStreamBytes: 128 * KiB, perConnectionBytes: 64 * MiB, totalBytes: 256 * KiB };
  const budget = new WindowBudget({ ...limits, exceeded: () => exceeded++ });
  const { window } = peer(budget);
  assert.equal(window.bytes, 128 * KiB);
  for (let i = 0; i < 4; i++) window.streamBusy();
  assert.equal(exceeded, 0);
  window.streamBusy();
  assert.equal(exceeded, 1);
  window.streamIdle();
  assert.equal(exceeded, 1);
});
