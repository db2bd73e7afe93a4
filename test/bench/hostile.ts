import { Worker } from 'node:worker_threads';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { Others } from '../support/hostile/others.ts';
import { delay } from '../support/wait.ts';
import type { Measured } from './internal_api.ts';

const SECONDS = 4;
const ROUNDS = 3;
const ATTACKS = [
  'streams reset as soon as they are open',
  'streams that are opened and left',
  'header blocks that never end',
  'SETTINGS',
  'PING',
  'window updates by one byte',
  'DATA of nothing',
  'frames of types that nobody knows',
];

/** How long others wait while one client floods the agents' port without pause, beside how long they wait otherwise. */
export async function measureHostile(): Promise<Measured[]> {
  const paths = { '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine') };
  const cluster = await startCluster({
    gitlab: {},
    backend: await startBackend({ paths }),
    config: { observability: { logging: { level: 'warn' } } },
  });
  try {
    for (let i = 0; i < 500; i++) await cluster.ask({ path: '/fine' });
    const rows: Measured[] = [];
    for (const name of ATTACKS) rows.push(await measure(cluster, name));
    return rows;
  } finally {
    await cluster.stop();
  }
}

async function measure(cluster: Cluster, name: string): Promise<Measured> {
  const rounds: { calm: number; attacked: number }[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const calm = await p99(cluster);
    const workerData = { endpoint: cluster.server.endpoints.agent, name };
    const attacker = new Worker(new URL('./attacker.ts', import.meta.url), { workerData });
    await delay(300);
    const attacked = await p99(cluster);
    await attacker.terminate();
    rounds.push({ calm, attacked });
  }
  const middle = rounds.sort((a, b) => a.attacked / a.calm - b.attacked / b.calm)[ROUNDS >> 1]!;
  const { calm, attacked } = middle;
  return {
    what: `p99 of others during: ${name}`,
    value: `${calm.toFixed(1)} → ${attacked.toFixed(1)} ms, × ${(attacked / calm).toFixed(1)}`,
    goal: '≤ 2 ×',
  };
}

/** Of requests to the cluster, one after the other, among the other deeds. */
async function p99(cluster: Cluster): Promise<number> {
  const others = await Others.of(cluster);
  others.start();
  await delay(SECONDS * 1000);
  await others.stop();
  const taken = [...(others.milliseconds.get('a request to the cluster') ?? [])].sort((a, b) => a - b);
  return taken[Math.floor(0.99 * (taken.length - 1))] ?? Number.NaN;
}
