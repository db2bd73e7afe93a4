import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import net from 'node:net';
import process from 'node:process';
import { measureConfiguration } from './agent_configuration.ts';
import { measureAtRest, measureLeaving } from './fleet.ts';
import { measureHostile } from './hostile.ts';
import { measureInternalApi } from './internal_api.ts';
import { cpuMs, executable, pause, type Rig, rssMiB, Stage, withChildren } from './stage.ts';

/**
 * The product beside the relay, by turns, with the same agent, cluster and load: ratios, never bare times.
 * `npm run bench [-- SCENARIO…] [--rounds N]`; scenarios: get, latency, download, stalled, distance, start, internal,
 * configuration, observability, workers, hostile, nodes, leaving; and at_rest, which takes a quarter of an hour, only by its name
 */
const rounds = Number(/--rounds[= ](\d+)/.exec(process.argv.slice(2).join(' '))?.[1] ?? 5);
const chosen = process.argv.slice(2).filter((word) => /^[a-z]/.test(word));
const GIB = 1 << 30;

interface Row {
  readonly what: string;
  readonly product: string;
  readonly relay: string;
  readonly ratio: string;
  readonly goal: string;
}
const rows: Row[] = [];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Compares pairs of samples: the median of the ratios, not the ratio of the medians, because a machine's mood changes. */
function compare(what: string, unit: string, product: readonly number[], relay: readonly number[], goal: string): void {
  const ratio = median(product.map((value, i) => value / relay[i]!));
  rows.push({
    what,
    product: `${median(product).toFixed(1)} ${unit}`,
    relay: `${median(relay).toFixed(1)} ${unit}`,
    ratio: ratio.toFixed(2),
    goal,
  });
}

function tell(what: string, value: string, goal: string): void {
  rows.push({ what, product: value, relay: '', ratio: '', goal });
}

interface Sample {
  cpuUs: number;
  p50Us: number;
  p99Us: number;
}

/** @param usedMs processor time so far; default that of the rig's server */
async function sample(
  stage: Stage,
  rig: Rig,
  connections: number,
  seconds: number,
  usedMs = () => cpuMs(rig.pid),
): Promise<Sample> {
  const before = usedMs();
  const result = await stage.load(rig, '/pods', connections, seconds);
  if (result.errors > 0) throw new Error(`${rig.name}: ${result.errors} errors`);
  return { cpuUs: ((usedMs() - before) * 1000) / result.requests, p50Us: result.p50Us, p99Us: result.p99Us };
}

async function requests(
  stage: Stage,
  scheme: 'grpc' | 'ws',
  connections: number,
): Promise<{ product: Sample[]; relay: Sample[] }> {
  const [product, relay] = [await stage.product(scheme), await stage.relay()];
  for (const rig of [product, relay]) await stage.load(rig, '/pods', connections, 3);
  const samples = { product: [] as Sample[], relay: [] as Sample[] };
  for (let round = 0; round < rounds; round++) {
    samples.product.push(await sample(stage, product, connections, 3));
    samples.relay.push(await sample(stage, relay, connections, 3));
  }
  for (const rig of [product, relay]) rig.stop();
  return samples;
}

async function get(stage: Stage): Promise<void> {
  const { product, relay } = await requests(stage, 'grpc', 64);
  const cpu = (samples: Sample[]) => samples.map(({ cpuUs }) => cpuUs);
  compare('CPU per 4 KB GET, 64 connections', 'µs', cpu(product), cpu(relay), '≤ 1.2');
  compare(
    'p99, 64 connections',
    'µs',
    product.map(({ p99Us }) => p99Us),
    relay.map(({ p99Us }) => p99Us),
    '≤ 1.5',
  );
  const ws = await requests(stage, 'ws', 64);
  compare('CPU per 4 KB GET, agent over WebSocket (relay: gRPC)', 'µs', cpu(ws.product), cpu(ws.relay), '');
}

async function latency(stage: Stage): Promise<void> {
  const { product, relay } = await requests(stage, 'grpc', 1);
  compare(
    'p50, 1 connection',
    'µs',
    product.map(({ p50Us }) => p50Us),
    relay.map(({ p50Us }) => p50Us),
    '≤ 1.3',
  );
  compare(
    'CPU per 4 KB GET, 1 connection',
    'µs',
    product.map(({ cpuUs }) => cpuUs),
    relay.map(({ cpuUs }) => cpuUs),
    '',
  );
}

/** Reads a download as fast as it comes, or at most `bytesPerSecond`. Returns seconds. */
async function fetchBig(rig: Rig, bytes: number, bytesPerSecond = Number.POSITIVE_INFINITY): Promise<number> {
  const startedMs = performance.now();
  const socket = askForBig(rig, bytes);
  let received = 0;
  for await (const chunk of socket) {
    received += (chunk as Buffer).length;
    const dueMs = (received / bytesPerSecond) * 1000 - (performance.now() - startedMs);
    if (dueMs > 5) await pause(dueMs);
    if (received >= bytes) break;
  }
  if (received < bytes) throw new Error(`${rig.name}: download broke off after ${received} bytes`);
  return (performance.now() - startedMs) / 1000;
}

function askForBig(rig: Rig, bytes: number): net.Socket {
  const socket = net.connect(rig.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`GET /big?bytes=${bytes} HTTP/1.1\r\nHost: kas.example\r\nAuthorization: Bearer ${rig.token}\r\n\r\n`);
  return socket;
}

async function download(stage: Stage): Promise<void> {
  const [product, relay] = [await stage.product('grpc'), await stage.relay()];
  const cpu = { product: [] as number[], relay: [] as number[] };
  const rate = { product: [] as number[], relay: [] as number[] };
  for (const rig of [product, relay]) await fetchBig(rig, GIB / 4);
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    for (const rig of [product, relay]) {
      const before = cpuMs(rig.pid);
      const seconds = await fetchBig(rig, GIB);
      cpu[rig.name as 'product' | 'relay'].push(cpuMs(rig.pid) - before);
      rate[rig.name as 'product' | 'relay'].push(GIB / 1e6 / seconds);
    }
  }
  compare('CPU per GiB of download', 'ms', cpu.product, cpu.relay, '≤ 1.2');
  compare('download', 'MB/s', rate.product, rate.relay, '≥ 0.85');
  for (const rig of [product, relay]) rig.stop();
}

async function stalled(stage: Stage): Promise<void> {
  const product = await stage.product('grpc');
  await fetchBig(product, GIB / 4);
  const before = rssMiB(product.pid);
  const sockets = Array.from({ length: 100 }, () => askForBig(product, GIB));
  // Each reads a little, so that its download is under way, and then no more.
  await Promise.all(sockets.map((socket) => once(socket, 'data').then(() => socket.pause())));
  await pause(4000);
  tell(
    'RSS growth, 100 clients stalled in 1 GiB downloads',
    `${(rssMiB(product.pid) - before).toFixed(0)} MiB`,
    '< 64 MiB',
  );
  for (const socket of sockets) socket.destroy();
  await pause(1000);
  const start = rssMiB(product.pid);
  let most = start;
  const watch = setInterval(() => {
    most = Math.max(most, rssMiB(product.pid));
  }, 100);
  await fetchBig(product, 8e6, 1e6);
  clearInterval(watch);
  tell('RSS growth, one client reading 1 MB/s', `${(most - start).toFixed(0)} MiB`, '< 64 MiB');
  product.stop();
}

async function distance(stage: Stage): Promise<void> {
  const through = (port: number) => stage.slowLink(port, 20);
  const [product, relay] = [await stage.product('grpc', through), await stage.relay(through)];
  const rate = { product: [] as number[], relay: [] as number[] };
  for (let round = 0; round < 3; round++) {
    for (const rig of [product, relay]) {
      rate[rig.name as 'product' | 'relay'].push(GIB / 4 / 1e6 / (await fetchBig(rig, GIB / 4)));
    }
  }
  compare('download through 20 ms of round trip', 'MB/s', rate.product, rate.relay, '≥ 80 MB/s or 1.0');
  for (const rig of [product, relay]) rig.stop();
}

async function start(stage: Stage): Promise<void> {
  if (!existsSync(executable)) return;
  const seconds: number[] = [];
  let rss = 0;
  for (let round = 0; round < rounds; round++) {
    const { pid, startSeconds, stop } = await stage.startBare();
    seconds.push(startSeconds);
    await pause(1200);
    rss = rssMiB(pid);
    stop();
  }
  tell('start to listening', `${median(seconds).toFixed(2)} s`, '≤ 0.2 s');
  tell('RSS idle', `${rss.toFixed(0)} MiB`, '≤ 110 MB');
  tell('executable', `${(statSync(executable).size / 1e6).toFixed(1)} MB`, '≤ 125 MB');
}

/** Requests that enter the node that has the agent, and the other one, by turns; the processor time is that of both nodes. */
async function nodes(stage: Stage): Promise<void> {
  const { right, other } = await stage.nodes();
  const both = () => cpuMs(right.pid) + cpuMs(other.pid);
  for (const connections of [64, 1]) {
    const samples = { right: [] as Sample[], other: [] as Sample[] };
    for (const rig of [right, other]) await stage.load(rig, '/pods', connections, 3);
    for (let round = 0; round < rounds; round++) {
      samples.right.push(await sample(stage, right, connections, 3, both));
      samples.other.push(await sample(stage, other, connections, 3, both));
    }
    const [cpu, p50] = [({ cpuUs }: Sample) => cpuUs, ({ p50Us }: Sample) => p50Us];
    const plural = connections === 1 ? '1 connection' : `${connections} connections`;
    const goal = connections === 1 ? '' : '≤ 1.7';
    compare(
      `CPU of both nodes per 4 KB GET, ${plural}: other node, right node`,
      'µs',
      samples.other.map(cpu),
      samples.right.map(cpu),
      goal,
    );
    if (connections > 1) continue;
    const more = median(samples.other.map((at, i) => at.p50Us - (samples.right[i]?.p50Us ?? 0)));
    compare(`p50, ${plural}: other node, right node`, 'µs', samples.other.map(p50), samples.right.map(p50), '');
    tell('p50 more through the other node', `${(more / 1000).toFixed(2)} ms`, '≤ 0.5 ms');
  }
  for (const rig of [right, other]) rig.stop();
}

async function configuration(): Promise<void> {
  for (const { what, value, goal } of await measureConfiguration()) tell(what, value, goal);
}

/** The product with everything that operators want to see, beside itself without: what watching costs. */
async function observability(stage: Stage): Promise<void> {
  const rigs = [
    await stage.product('grpc', undefined, { level: 'info', metrics: true }),
    await stage.product('grpc', undefined, { level: 'error', metrics: false }),
  ];
  for (const rig of rigs) await stage.load(rig, '/pods', 64, 3);
  const cpu: number[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    // Each goes first as often as the other.
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) cpu[i]!.push((await sample(stage, rigs[i]!, 64, 3)).cpuUs);
  }
  const [on = [], off = []] = cpu;
  compare('CPU per 4 KB GET, metrics and info log on (product) and off (relay)', 'µs', on, off, '≤ 1.1');
  for (const rig of rigs) rig.stop();
}

/** Two workers beside one. What is to be had from them on a machine with cores to spare is what the busiest process can do. */
async function workers(stage: Stage): Promise<void> {
  for (const [pods, which] of [
    [2, 'an agent with each worker'],
    [1, 'one agent, with one of them'],
  ] as const) {
    const rigs = [
      await stage.product('grpc', undefined, { workers: 2, pods }),
      await stage.product('grpc', undefined, { workers: 1, pods }),
    ];
    for (const rig of rigs) await stage.load(rig, '/pods', 64, 3);
    const perSecond: number[][] = [[], []];
    const cpu: number[][] = [[], []];
    const capacity: number[][] = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const rig = rigs[i]!;
        const pids = withChildren(rig.pid);
        const before = pids.map(cpuMs);
        const { requests: count, errors } = await stage.load(rig, '/pods', 64, 3);
        if (errors > 0) throw new Error(`${errors} errors`);
        const used = pids.map((pid, p) => cpuMs(pid) - before[p]!);
        perSecond[i]!.push(count / 3);
        cpu[i]!.push((used.reduce((sum, ms) => sum + ms, 0) * 1000) / count);
        capacity[i]!.push((count * 1000) / Math.max(...used));
      }
    }
    const [two, one] = [0, 1] as const;
    const what = `two workers (product) and one (relay), ${which}`;
    compare(`requests in a second of the busiest process, ${what}`, '', capacity[two]!, capacity[one]!, '≥ 1.6');
    compare(`requests/s here, ${what}`, '', perSecond[two]!, perSecond[one]!, '');
    compare(`CPU per request, all processes of the server, ${what}`, 'µs', cpu[two]!, cpu[one]!, '');
    for (const rig of rigs) rig.stop();
  }
}

async function internal(): Promise<void> {
  for (const { what, value, goal } of await measureInternalApi()) tell(what, value, goal);
}

async function hostile(): Promise<void> {
  for (const { what, value, goal } of await measureHostile()) tell(what, value, goal);
}

/** Thousands of agents that have to go to another node. */
async function leaving(): Promise<void> {
  for (const { what, value, goal } of await measureLeaving()) tell(what, value, goal);
}

/** Thousands of agents at two nodes, and nobody who asks for any of them. */
async function at_rest(): Promise<void> {
  for (const { what, value, goal } of await measureAtRest()) tell(what, value, goal);
}

/** Not among those that run when none is named. */
const onlyByName = new Set(['at_rest']);

const scenarios = {
  get,
  latency,
  download,
  stalled,
  distance,
  start,
  internal,
  configuration,
  observability,
  workers,
  hostile,
  nodes,
  leaving,
  at_rest,
};

const stage = new Stage();
try {
  await stage.open();
  for (const [name, run] of Object.entries(scenarios)) {
    if (chosen.length > 0 ? !chosen.includes(name) : onlyByName.has(name)) continue;
    process.stderr.write(`${name} …\n`);
    await run(stage);
  }
} finally {
  stage.close();
}
process.stdout.write('| what | product | relay | ratio | goal |\n| --- | --- | --- | --- | --- |\n');
for (const { what, product, relay, ratio, goal } of rows) {
  process.stdout.write(`| ${what} | ${product} | ${relay} | ${ratio} | ${goal} |\n`);
}
