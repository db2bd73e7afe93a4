import { after } from 'node:test';
import { systemClock } from '../../../src/runtime/clock.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { agentDirectoryContract } from '../../contract/store/agent_directory.ts';
import { errorCacheContract } from '../../contract/store/error_cache.ts';
import { eventBusContract } from '../../contract/store/event_bus.ts';
import { tokenLimiterContract } from '../../contract/store/token_limiter.ts';
import { tunnelDirectoryContract } from '../../contract/store/tunnel_directory.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { delay } from '../../support/wait.ts';
import { connectedNode, reach, redisTest } from './setup.ts';

// What every implementation must do, on a real Redis. Tests share the server and have a prefix each.
if (noRedis === false) contracts();
else redisTest('the contracts of the store, on Redis', () => Promise.resolve());

function contracts(): void {
  const server = startRedis(undefined);
  const ends: (() => void)[] = [];
  after(() => {
    for (const end of ends) end();
  });
  let prefixes = 0;
  const node = async (options: { clock?: FakeClock; ownUrls?: string[] } = {}) => {
    // The clock of some runs ahead of Redis: no answer is late.
    const config = { ...reach(await server), keyPrefix: `test-${++prefixes}`, writeTimeoutMs: 24 * 3_600_000 };
    return connectedNode({ after: (end) => ends.push(end as () => void) }, config, options);
  };

  tunnelDirectoryContract('redis', async () => {
    const ownUrls = ['grpc://10.0.0.1:8155', 'grpc://[fd00::1]:8155'];
    const { store, arrived } = await node({ ownUrls });
    return { directory: store.tunnelDirectory, ownUrls, arrived };
  });

  agentDirectoryContract('redis', async () => {
    const clock = new FakeClock(Math.ceil(systemClock.wallMs() / 60_000) * 60_000);
    const { store, arrived } = await node({ clock });
    return {
      directory: store.agentDirectory,
      advance: (ms) => advance(clock, ms, arrived),
      nowMs: () => clock.wallMs(),
    };
  });

  tokenLimiterContract('redis', async () => {
    const clock = new FakeClock();
    const { store, arrived } = await node({ clock });
    return { limiter: store.tokenLimiter, advance: (ms) => advance(clock, ms, arrived) };
  });

  // Redis itself forgets refusals, by its own clock.
  errorCacheContract('redis', async () => ({
    cache: (await node()).store.errorCache,
    advance: (ms) => delay(ms + 20),
  }));

  eventBusContract('redis', async () => {
    const { store } = await node();
    return { bus: store.eventBus, arrived: () => delay(100) };
  });
}

/** In steps that leave the connection time for its answers: it lives by the same clock. */
async function advance(clock: FakeClock, ms: number, arrived: () => Promise<void>): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    clock.advance(Math.min(left, 500));
    await arrived();
    await delay(2);
  }
}
