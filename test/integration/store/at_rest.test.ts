import assert from 'node:assert/strict';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { startRedis, type TestRedis } from '../../support/redis.ts';
import { delay } from '../../support/wait.ts';
import { connectedNode, reach, redisTest } from './setup.ts';

/**
 * 10,000 agents over two nodes may cost Redis 100 commands a second at rest. One node with half of them, in an hour of the
 * clock.
 */
const AGENTS = 5000;
const HOUR_MS = 3_600_000;
/** Each says every 5 minutes that it is there. */
const REGISTRATIONS_PER_SECOND = AGENTS / 300;

redisTest('thousands of agents at rest cost Redis few commands', async (t) => {
  const redis = await startRedis(t);
  const clock = new FakeClock(Date.now());
  // The clock runs ahead of Redis: no answer is late.
  const node = await connectedNode(t, { ...reach(redis), writeTimeoutMs: HOUR_MS }, { clock });
  const { tunnelDirectory, agentDirectory } = node.store;
  const register = (agent: number) => {
    const id = BigInt(agent + 1);
    const pod = { agentId: id, projectId: id, connectionId: id, agentMeta: undefined, connectedAtMs: clock.wallMs() };
    return agentDirectory.register(pod, 600_000);
  };
  await Promise.all(Array.from({ length: AGENTS }, (_, agent) => register(agent)));
  for (let agent = 0; agent < AGENTS; agent++) tunnelDirectory.announce(BigInt(agent + 1));
  await node.arrived();
  let second = 0;
  const live = async (seconds: number) => {
    for (const end = second + seconds; second < end; second++) {
      clock.advance(1000);
      // Agents say that they are there at all times.
      const first = Math.floor(second * REGISTRATIONS_PER_SECOND);
      const until = Math.floor((second + 1) * REGISTRATIONS_PER_SECOND);
      await Promise.all(Array.from({ length: until - first }, (_, i) => register((first + i) % AGENTS)));
      await node.arrived();
      await delay(0);
    }
  };
  await live(300); // renewed for the first time: from now on they are at rest
  const before = await commandsOf(redis);
  await live(HOUR_MS / 1000);
  const perSecond = ((await commandsOf(redis)) - before) / (HOUR_MS / 1000);
  t.diagnostic(`${perSecond.toFixed(1)} commands/s for ${AGENTS} agents`);
  assert.ok(perSecond < 50, `${perSecond} commands/s`);
  assert.equal(await agentDirectory.count(), AGENTS);
  assert.equal((await tunnelDirectory.nodesOf(BigInt(AGENTS))).length, 1);
  assert.equal((await agentDirectory.byProjectIds([1n])).length, 1);
});

async function commandsOf(redis: TestRedis): Promise<number> {
  const stats = String(await redis.ask('INFO', 'stats'));
  return Number(/total_commands_processed:(\d+)/.exec(stats)?.[1]);
}
