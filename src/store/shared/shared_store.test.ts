import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentDirectoryContract } from '../../../test/contract/store/agent_directory.ts';
import { errorCacheContract } from '../../../test/contract/store/error_cache.ts';
import { eventBusContract } from '../../../test/contract/store/event_bus.ts';
import { tokenLimiterContract } from '../../../test/contract/store/token_limiter.ts';
import { tunnelDirectoryContract } from '../../../test/contract/store/tunnel_directory.ts';
import { usageCountersContract } from '../../../test/contract/store/usage_counters.ts';
import { linkedPair } from '../../../test/support/linked_pair.ts';
import { silentLog } from '../../../test/support/silent_log.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { Scope } from '../../runtime/scope.ts';
import { createMemoryStore } from '../memory/memory_store.ts';
import { MAX_EVENTS_PER_NAME, MAX_IDS_PER_COUNTER, MemoryUsageCounters } from '../memory/usage_counters.ts';
import type { UsageCounters, UsageReports } from '../usage_counters.ts';
import { serveStore } from './dispatcher.ts';
import { createStoreClient } from './store_client.ts';
import { TunnelBoard } from './tunnel_board.ts';
import { collectUsage, UsageHandOver } from './usage_hand_over.ts';
import { WorkerTunnels } from './worker_tunnels.ts';

/** A worker's store, whose other end is in the memory of another process. */
function sharedStore() {
  const clock = new FakeClock();
  const { here, there } = linkedPair();
  serveStore(there, createMemoryStore({ clock }));
  return {
    store: createStoreClient(here, silentLog),
    advance: (ms: number) => clock.advance(ms),
    nowMs: () => clock.wallMs(),
  };
}

tokenLimiterContract('shared', () => {
  const { store, advance } = sharedStore();
  return { limiter: store.tokenLimiter, advance };
});

errorCacheContract('shared', () => {
  const { store, advance } = sharedStore();
  return { cache: store.errorCache, advance };
});

agentDirectoryContract('shared', () => {
  const { store, advance, nowMs } = sharedStore();
  return { directory: store.agentDirectory, advance, nowMs };
});

eventBusContract('shared', () => ({ bus: sharedStore().store.eventBus, arrived() {} }));

usageCountersContract(
  'shared',
  { idsPerCounter: MAX_IDS_PER_COUNTER, eventsPerName: MAX_EVENTS_PER_NAME },
  (): UsageCounters & UsageReports => {
    const clock = new FakeClock();
    const { here, there } = linkedPair();
    const [counters, reports] = [new MemoryUsageCounters(), new MemoryUsageCounters()];
    collectUsage(there, reports);
    new UsageHandOver(counters, here, new Scope(clock));
    /** Everything counted so far is where it is reported. */
    const arrived = () => {
      clock.advance(1000);
      return reports;
    };
    return {
      increment: (counter) => counters.increment(counter),
      addUnique: (counter, id) => counters.addUnique(counter, id),
      addUserEvent: (name, userId, projectId) => counters.addUserEvent(name, userId, projectId),
      addEvent: (name, event) => counters.addEvent(name, event),
      metrics: () => arrived().metrics(),
      subtractMetrics: (sent) => arrived().subtractMetrics(sent),
      events: (limit) => arrived().events(limit),
      removeEvents: (sent) => arrived().removeEvents(sent),
      takeDropped: () => arrived().takeDropped(),
    };
  },
);

tunnelDirectoryContract('shared', () => {
  return { directory: joined(new TunnelBoard(), 'unix:///w/1.sock'), ownUrls: ['unix:///w/1.sock'], arrived() {} };
});

function joined(
  board: TunnelBoard,
  ownUrl: string,
  elsewhere?: { nodesOf(agentId: bigint): Promise<readonly string[]> },
): WorkerTunnels {
  const { here, there } = linkedPair();
  const directory = new WorkerTunnels({ link: here, ownUrl, elsewhere });
  board.join(ownUrl, there);
  return directory;
}

test('workers see what each other has announced, also who joins later', async () => {
  const board = new TunnelBoard();
  const first = joined(board, 'unix:///1');
  first.announce(7n);
  const second = joined(board, 'unix:///2');
  second.announce(8n);
  assert.deepEqual(second.siblingsOf(7n), ['unix:///1']);
  assert.deepEqual(first.siblingsOf(8n), ['unix:///2']);
  assert.deepEqual(await first.nodesOf(7n), ['unix:///1']);
  second.announce(7n);
  assert.deepEqual(await first.nodesOf(7n), ['unix:///1', 'unix:///2']);
});

test('a worker that died takes its tunnels along, and comes back with none', () => {
  const board = new TunnelBoard();
  const [first, second] = [joined(board, 'unix:///1'), joined(board, 'unix:///2')];
  first.announce(7n);
  second.announce(7n);
  board.leave('unix:///1');
  assert.deepEqual(second.siblingsOf(7n), []);
  const again = joined(board, 'unix:///1');
  assert.deepEqual(again.siblingsOf(7n), ['unix:///2']);
  assert.deepEqual(second.siblingsOf(7n), []);
  again.announce(7n);
  assert.deepEqual(second.siblingsOf(7n), ['unix:///1']);
});

test('other machines see an agent while any worker has tunnels of it, and workers see other machines', async () => {
  const seen: string[] = [];
  const board = new TunnelBoard({
    announce: (agentId) => seen.push(`+${agentId}`),
    withdraw: (agentId) => seen.push(`-${agentId}`),
  });
  const elsewhere = { nodesOf: () => Promise.resolve(['grpc://10.0.0.2:8155']) };
  const [first, second] = [joined(board, 'unix:///1', elsewhere), joined(board, 'unix:///2', elsewhere)];
  first.announce(7n);
  second.announce(7n);
  first.withdraw(7n);
  assert.deepEqual(seen, ['+7']);
  assert.deepEqual(await first.nodesOf(7n), ['unix:///2', 'grpc://10.0.0.2:8155']);
  second.withdraw(7n);
  first.announce(7n);
  board.leave('unix:///1');
  assert.deepEqual(seen, ['+7', '-7', '+7', '-7']);
});
