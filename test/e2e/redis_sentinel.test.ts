// A failover of Redis while requests run: none of them is lost, and what stands in Redis stands in the new master soon after.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { noRedis, startSentinel, type TestRedis } from '../support/redis.ts';
import { delay, eventually } from '../support/wait.ts';

for (const [what, fail] of [
  ['asked for', (sentinel: Sentinel) => sentinel.failover()],
  ['after the master’s death', (sentinel: Sentinel) => sentinel.master.stop()],
] as const) {
  test(`a failover ${what}, under load`, { skip: noRedis, timeout: 120_000 }, async (t) => {
    const sentinel = await startSentinel(t, { masterName: 'mymaster' });
    const cluster = await startCluster({
      backend: await startBackend({ paths: { '/x': (_, response) => void response.end('from the cluster') } }),
      gitlab: {},
      config: { redis: { sentinel: { master_name: 'mymaster', addresses: [...sentinel.sentinels] } } },
    });
    const under = new AbortController();
    let load: Promise<unknown> | undefined;
    try {
      await eventually('the agent in Redis', () => isAnnounced(sentinel.master));
      const outcomes = new Map<string, number>();
      let slowestMs = 0;
      load = Promise.all(
        Array.from({ length: 4 }, async () => {
          while (!under.signal.aborted) {
            const begun = performance.now();
            const { status, text } = await cluster.ask({ path: '/x' });
            slowestMs = Math.max(slowestMs, performance.now() - begun);
            const outcome = status === 200 && text === 'from the cluster' ? 'served' : `lost: ${status} ${text}`;
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
            await delay(5);
          }
        }),
      );
      await fail(sentinel);
      await sentinel.takenOver();
      const masterAtMs = performance.now();
      await eventually('the agent there', () => isAnnounced(sentinel.replica).catch(() => false), 10_000);
      const backMs = Math.round(performance.now() - masterAtMs);
      await delay(500);
      under.abort();
      await load;
      t.diagnostic(
        `${JSON.stringify([...outcomes])}, slowest ${Math.round(slowestMs)} ms, written again after ${backMs} ms`,
      );
      assert.deepEqual([...outcomes.keys()], ['served']);
      await cluster.server.waitForLog('of its return', ({ msg }) => msg === 'Redis is back');
    } finally {
      under.abort();
      await load?.catch(() => {});
      await cluster.stop();
    }
  });
}

type Sentinel = Awaited<ReturnType<typeof startSentinel>>;

/** By a node that is connected to it: a replica that becomes a master has the entry already, so its age is what counts. */
async function isAnnounced(redis: TestRedis): Promise<boolean> {
  const clients = String(await redis.ask('CLIENT', 'LIST', 'TYPE', 'normal'));
  const keys = ((await redis.ask('KEYS', '*kas_by_agent_id*')) as Buffer[]).length;
  return keys === 1 && clients.includes('name=gitlab-kas');
}
