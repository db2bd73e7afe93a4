/**
 * Lets the product work for long, with all that goes wrong around it: `npm run soak -- [--minutes N]`. Agents come, go and are
 * cut off, clients do everything that clients do, Redis and GitLab are restarted. Before and after that it is left in peace for
 * a while: what it holds then must be the same. Prints a table; the exit status says whether it is.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { startAgent, type TestAgent } from '../support/agent/agent.ts';
import { type Handler, startBackend, type UpgradeHandler } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { addressOf } from '../support/endpoint.ts';
import { noRedis, startRedis, type TestRedis } from '../support/redis.ts';
import { delay } from '../support/wait.ts';
import { attempt, type Deed, deeds } from './deeds.ts';
import { type Vitals, vitalsOf } from './vitals.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
const minutes = Number(values.minutes);
if (!(minutes >= 1)) {
  console.error(`soak: --minutes ${values.minutes}: a number, 1 or more, is expected`);
  process.exit(2);
}

/** Longer than connections of strangers, cached answers and lingering sockets live. */
const PEACE_MS = 40_000;
const CLIENTS = 12;
const AGENTS = [1, 2, 9];
/** What may be more at the end than after the warm-up. */
const ALLOWED = { residentMiB: 48, heapMiB: 24, files: 8, sockets: 8, listening: 0 };

const cleanUps: (() => unknown)[] = [];
const start = performance.now();
const seconds = () => (performance.now() - start) / 1000;
const say = (text: string) => console.log(`${String(Math.round(seconds())).padStart(5)} s  ${text}`);

const paths: Record<string, Handler> = {
  '/fine': (_, response) => response.end('fine'),
  '/large': (_, response) => response.end(Buffer.alloc(2 << 20, 'x')),
  '/upload': (request, response) => request.resume().once('end', () => response.end('thanks')),
  '/watch': (_, response) => {
    const timer = setInterval(() => response.write('{"type":"MODIFIED"}\n'), 100);
    response.once('close', () => clearInterval(timer));
    response.write('{"type":"ADDED"}\n');
  },
};
const upgrades: Record<string, UpgradeHandler> = {
  '/exec': (_, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
    socket.pipe(socket);
  },
};

const outcomes = new Map<string, Map<string, number>>();

async function client(all: readonly [string, Deed][], until: () => boolean): Promise<void> {
  while (!until()) {
    const [name, deed] = all[Math.floor(Math.random() * all.length)]!;
    const outcome = await attempt(deed);
    const counts = outcomes.get(name) ?? new Map<string, number>();
    outcomes.set(name, counts);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    await delay(Math.random() * 20);
  }
}

/** One agent's life: connected, cut off, ended and started anew, over either transport. */
async function agent(cluster: Cluster, id: number, until: () => boolean): Promise<void> {
  for (let i = 0; !until(); i++) {
    const address = addressOf(cluster.server.endpoints.agent);
    const kasAddress = i % 2 === 0 ? `ws://${address}/-/kubernetes-agent/` : `grpc://${address}`;
    const one: TestAgent | undefined = await startAgent({
      kasAddress,
      token: `agent-token-${id}`,
      podName: `agentk-${id}-${i}`,
      cluster: { server: cluster.backend.url, authorization: () => 'Bearer kube-sa-token' },
    }).catch(() => undefined);
    for (let cuts = 0; cuts < 3 && !until(); cuts++) {
      await delay(3000 + Math.random() * 5000);
      one?.cut();
    }
    await one?.close({ unregister: Math.random() < 0.5 });
  }
}

async function restarts(cluster: Cluster, redis: TestRedis | undefined, until: () => boolean): Promise<void> {
  for (let i = 0; !until(); i++) {
    await delay(15_000);
    if (until()) return;
    if (i % 2 === 0 && redis !== undefined) {
      await redis.stop();
      await delay(2000);
      await redis.start();
      say('Redis was restarted');
    } else if (cluster.gitlab !== undefined) {
      const mend = cluster.gitlab.fail('', { status: 502 });
      await delay(3000);
      mend();
      say('GitLab was away');
    }
  }
}

async function work(
  cluster: Cluster,
  redis: TestRedis | undefined,
  ms: number,
  more: () => Promise<void>,
): Promise<void> {
  const end = performance.now() + ms;
  const until = () => performance.now() > end;
  const all = Object.entries(deeds(cluster));
  await Promise.all([
    ...Array.from({ length: CLIENTS }, () => client(all, until)),
    ...AGENTS.map((id) => agent(cluster, id, until)),
    restarts(cluster, redis, until),
    (async () => {
      while (!until()) {
        await delay(15_000);
        await more();
      }
    })(),
  ]);
}

async function soak(): Promise<boolean> {
  const redis =
    noRedis === false ? await startRedis({ after: (f) => void cleanUps.push(f as () => unknown) }) : undefined;
  if (redis === undefined) say(`without Redis: ${noRedis}`);
  const cluster = await startCluster({
    gitlab: {},
    agents: [],
    backend: await startBackend({ paths, upgrades }),
    config: {
      ...(redis && { redis: { server: { address: redis.address } } }),
      observability: { logging: { level: 'warn' } },
      agent: { info_cache_ttl: '5s', info_cache_error_ttl: '5s' },
    },
  });
  const { server } = cluster;
  const rows: Vitals[] = [];
  const look = async (): Promise<Vitals> => {
    const vitals = await vitalsOf(server, seconds());
    rows.push(vitals);
    say(
      Object.entries(vitals)
        .map(([name, value]) => `${name} ${value}`)
        .join(', '),
    );
    return vitals;
  };
  const atPeace = async () => {
    await delay(PEACE_MS);
    return await look();
  };
  const workMs = minutes * 60_000 - 2 * PEACE_MS;
  say('warm-up');
  await work(cluster, redis, Math.max(workMs / 4, 10_000), async () => void (await look()));
  const first = await atPeace();
  say('work');
  await work(cluster, redis, Math.max((workMs * 3) / 4, 10_000), async () => void (await look()));
  const last = await atPeace();

  console.table(rows);
  console.table(Object.fromEntries([...outcomes].map(([name, counts]) => [name, Object.fromEntries(counts)])));
  const problems = (Object.keys(ALLOWED) as (keyof typeof ALLOWED)[])
    .filter((name) => last[name] > first[name] + ALLOWED[name])
    .map((name) => `${name}: ${first[name]} after the warm-up, ${last[name]} at the end`);
  const words = /MaxListenersExceeded|defect|Unknown gRPC error|uncaught|unhandled/i;
  problems.push(
    ...server
      .stderr()
      .split('\n')
      .filter((line) => words.test(line))
      .slice(0, 5),
  );
  for (const kind of ['get', 'watch', 'upload', 'download', 'exec', 'get over HTTP/2', 'call of GitLab'])
    if (![...(outcomes.get(kind)?.keys() ?? [])].some((outcome) => ['200', '101'].includes(outcome)))
      problems.push(`no ${kind} succeeded`);
  await cluster.stop().catch((error: unknown) => problems.push(`the end: ${String(error)}`));
  for (const problem of problems) console.error(`soak: ${problem}`);
  console.log(
    problems.length === 0 ? 'soak: what it holds at the end is what it held at the beginning' : 'soak: failed',
  );
  return problems.length === 0;
}

process.on('exit', () => {
  for (const cleanUp of cleanUps) cleanUp();
});
process.exitCode = (await soak()) ? 0 : 1;
for (const cleanUp of cleanUps.splice(0)) await cleanUp();
process.exit();
