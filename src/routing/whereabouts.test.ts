import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { Whereabouts } from './whereabouts.ts';

function setUp(more: { seenHere?: (clock: FakeClock) => number; nodesOf?: () => Promise<readonly string[]> } = {}) {
  const clock = new FakeClock();
  const { agentDirectory, tunnelDirectory } = createMemoryStore({ clock, ownUrls: ['grpc://self:1'] });
  const whereabouts = new Whereabouts({
    agents: agentDirectory,
    tunnels: more.nodesOf ? { nodesOf: more.nodesOf } : tunnelDirectory,
    lastSeenHereMs: () => more.seenHere?.(clock),
    clock,
  });
  return { clock, agentDirectory, tunnelDirectory, whereabouts };
}

const pod = { agentId: 1n, projectId: 2n, connectionId: 3n, agentMeta: undefined, connectedAtMs: 0 };

test('in its first minute a server knows nothing: agents may be on their way', async () => {
  const { clock, whereabouts } = setUp();
  clock.advance(59_999);
  assert.equal(await whereabouts.away(1n), undefined);
  clock.advance(1);
  assert.match((await whereabouts.away(1n)) ?? '', /not been seen/);
});

test('an agent that has tunnels at some node, or is registered, is not away', async () => {
  const { clock, whereabouts, tunnelDirectory, agentDirectory } = setUp();
  clock.advance(60_000);
  tunnelDirectory.announce(1n);
  assert.equal(await whereabouts.away(1n), undefined);
  tunnelDirectory.withdraw(1n);
  await agentDirectory.register(pod, 300_000);
  assert.equal(await whereabouts.away(1n), undefined);
});

test('an agent that has just left may come back', async () => {
  const { clock, whereabouts } = setUp({ seenHere: () => new FakeClock().wallMs() + 100_000 });
  clock.advance(100_000 + 59_999);
  assert.equal(await whereabouts.away(1n), undefined);
  clock.advance(1);
  assert.equal(await whereabouts.away(1n), 'It was last seen at 2026-01-01T00:01:40.000Z.');
});

test('a store in trouble knows nothing', async () => {
  const { clock, whereabouts } = setUp({ nodesOf: () => Promise.reject(new Error('down')) });
  clock.advance(60_000);
  assert.equal(await whereabouts.away(1n), undefined);
});

test('an agent that another node has seen lately may come back, and later it is said when that was', async () => {
  const { clock, whereabouts, agentDirectory } = setUp();
  clock.advance(60_000);
  await agentDirectory.register({ ...pod, connectedAtMs: clock.wallMs() }, 300_000);
  const leftAt = new Date(clock.wallMs());
  await agentDirectory.unregister(pod);
  clock.advance(59_000);
  assert.equal(await whereabouts.away(1n), undefined);
  clock.advance(2000);
  assert.equal(await whereabouts.away(1n), `It was last seen at ${leftAt.toISOString()}.`);
});
