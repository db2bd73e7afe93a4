import { agentDirectoryContract } from '../../../test/contract/store/agent_directory.ts';
import { errorCacheContract } from '../../../test/contract/store/error_cache.ts';
import { eventBusContract } from '../../../test/contract/store/event_bus.ts';
import { tokenLimiterContract } from '../../../test/contract/store/token_limiter.ts';
import { tunnelDirectoryContract } from '../../../test/contract/store/tunnel_directory.ts';
import { usageCountersContract } from '../../../test/contract/store/usage_counters.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { createMemoryStore } from './memory_store.ts';
import { MAX_EVENTS_PER_NAME, MAX_IDS_PER_COUNTER } from './usage_counters.ts';

tokenLimiterContract('memory', () => {
  const clock = new FakeClock();
  return { limiter: createMemoryStore({ clock }).tokenLimiter, advance: (ms) => clock.advance(ms) };
});

errorCacheContract('memory', () => {
  const clock = new FakeClock();
  return { cache: createMemoryStore({ clock }).errorCache, advance: (ms) => clock.advance(ms) };
});

agentDirectoryContract('memory', () => {
  const clock = new FakeClock();
  const { agentDirectory } = createMemoryStore({ clock });
  return { directory: agentDirectory, advance: (ms) => clock.advance(ms), nowMs: () => clock.wallMs() };
});

usageCountersContract(
  'memory',
  { idsPerCounter: MAX_IDS_PER_COUNTER, eventsPerName: MAX_EVENTS_PER_NAME },
  () => createMemoryStore({ clock: new FakeClock() }).usageCounters,
);

eventBusContract('memory', () => ({ bus: createMemoryStore({ clock: new FakeClock() }).eventBus, arrived() {} }));

tunnelDirectoryContract('memory', () => {
  const ownUrls = ['grpc://10.0.0.1:8155', 'grpc://[fd00::1]:8155'];
  const { tunnelDirectory } = createMemoryStore({ clock: new FakeClock(), ownUrls });
  return { directory: tunnelDirectory, ownUrls, arrived() {} };
});
