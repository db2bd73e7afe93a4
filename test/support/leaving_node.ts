import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { startBackend } from './backend.ts';
import { startFleet } from './fleet.ts';
import { type AgentRow, defaultTables } from './gitlab/tables.ts';
import { startHaProxy } from './haproxy.ts';
import { ask } from './http_client.ts';
import type { ConfigTree } from './kas_config.ts';
import { type LoadReport, startLoad } from './load.ts';
import { startNodes, tunnelsKey } from './nodes.ts';
import { startRedis, type TestRedis } from './redis.ts';
import type { RunningServer } from './server.ts';
import { delay, within } from './wait.ts';

/** Ids that the usual tables do not have. */
const FIRST = 100_000;
/** How many of the agents are asked all the time, each by a client of its own. */
const ASKED = 16;

export interface LeavingNode {
  readonly signal: 'SIGTERM' | 'SIGKILL';
  readonly agents: number;
  /** Where an agent's configuration is; default: nowhere that answers. */
  readonly projectOf?: (id: number) => AgentRow['project'];
  readonly listenGraceSeconds: number;
  /** For both nodes. */
  readonly config?: ConfigTree;
  /** For the node that agents go to. */
  readonly otherConfig?: ConfigTree;
  readonly elsewhereWithinMs: number;
  /** Processor time of a process so far. */
  readonly processorMs?: (pid: number) => number;
}

/** What came of it; milliseconds since the signal. */
export interface Left {
  /** The process has ended, with this status. */
  readonly exitMs: number;
  readonly status: number | string;
  /** The last agent has tunnels at the other node. */
  readonly elsewhereMs: number;
  /** What this cost the other node, in processor time; NaN if nobody measures. */
  readonly arrivalMs: number;
  readonly load: LoadReport;
  /** How many questions about agents GitLab got. */
  readonly askedOfGitLab: number;
}

/**
 * A node that has all agents gets the signal; another one, which knows none of them, gets them through a balancer that asks
 * `/readiness`, while requests to some of them go on.
 */
export async function leaveWithAgents(t: Pick<TestContext, 'after'>, options: LeavingNode): Promise<Left> {
  const { agents, config = {}, otherConfig = {}, processorMs = () => Number.NaN } = options;
  const ids = Array.from({ length: agents }, (_, i) => FIRST + i);
  const tables = defaultTables();
  for (const id of ids) {
    const project = options.projectOf?.(id);
    tables.agents.set(`agent-token-${id}`, { id, name: `agent-${id}`, projectId: id, ...(project && { project }) });
  }
  const users = tables.users.map((user) => ({ ...user, agents: ids }));
  const redis = await startRedis(t);
  const grace = { listen_grace_period: `${options.listenGraceSeconds}s` };
  const graceful = { agent: { listen: grace, kubernetes_api: { listen: grace } } };
  const plenty = { refill_rate_per_second: 1_000_000, bucket_size: 1_000_000 };
  const nodes = await startNodes({
    nodes: [{ config: { gitlab: { api_rate_limit: plenty } } }, { config: otherConfig }],
    redis,
    backend: await startBackend(),
    gitlab: { tables: { ...tables, users } },
    config: { observability: { logging: { level: 'info' } }, ...graceful, ...config },
  });
  t.after(() => nodes.stop());
  const [leaving, other] = [nodes.servers[0] ?? assert.fail(), nodes.servers[1] ?? assert.fail()];
  other.signal('SIGKILL');
  await other.exited;
  const balancer = await startHaProxy(
    nodes.servers.map(({ endpoints }) => endpoints),
    { connections: 4000 + agents, redispatch: options.signal === 'SIGKILL' },
  );
  t.after(() => balancer.close());
  const fleet = await startFleet(balancer.agents, { agents, first: FIRST, parallel: 200 });
  t.after(() => fleet.stop());
  await within('the agents’ arrival', 240_000, fleet.up);
  await announced(redis, ids, leaving, 60_000);
  await nodes.restartNode(1);
  // The balancer asks twice a second.
  await delay(1500);
  const asked = Array.from({ length: ASKED }, (_, i) => ({
    path: '/k8s-proxy/pods',
    headers: { authorization: `Bearer pat:${ids[Math.floor((i * agents) / ASKED)]}:alice-pat` },
  }));
  const { text } = await ask(balancer.kubernetesApi, asked[0] ?? assert.fail());
  assert.equal(text.length, 4096, text.slice(0, 200));
  const loads = asked.map((one) =>
    startLoad(balancer.kubernetesApi, one, { connections: 1, pauseMs: 50, expected: text }),
  );
  await delay(2000);
  const questions = () => nodes.gitlab.requestsTo('/agent_info').length;
  const before = questions();
  const { pid = assert.fail() } = nodes.servers[1] ?? {};
  const idleMs = processorMs(pid);
  const signalled = performance.now();
  const since = () => Math.round(performance.now() - signalled);
  leaving.signal(options.signal);
  const exit = leaving.exited.then((status) => ({ status, exitMs: since() }));
  await announced(redis, ids, other, options.elsewhereWithinMs);
  const elsewhereMs = since();
  const arrivalMs = processorMs(pid) - idleMs;
  const { status, exitMs } = await within('the end of the node', 60_000, exit);
  await delay(1000);
  const reports = await Promise.all(loads.map((load) => load.stop()));
  return { exitMs, status, elsewhereMs, arrivalMs, load: together(reports), askedOfGitLab: questions() - before };
}

/**
 * Resolves when Redis says of all agents that the node has tunnels of them. Who was seen there is not asked for again, before the end: the
 * nodes need the processor time of this machine, and that Redis, themselves.
 */
async function announced(
  redis: TestRedis,
  ids: readonly number[],
  { endpoints }: RunningServer,
  withinMs: number,
): Promise<void> {
  const port = endpoints.privateApi.port;
  const deadline = performance.now() + withinMs;
  for (let missing = ids; ; await delay(100)) {
    missing = await notAnnounced(redis, missing, port);
    if (missing.length === 0) missing = await notAnnounced(redis, ids, port);
    if (missing.length === 0) return;
    if (performance.now() > deadline) {
      throw new Error(`${missing.length} of ${ids.length} agents are not at the node after ${withinMs} ms`);
    }
  }
}

/** Those of whom Redis does not say that the node with this port has tunnels. */
async function notAnnounced(redis: TestRedis, ids: readonly number[], port: number): Promise<number[]> {
  const script = `local missing = {}
for i, key in ipairs(KEYS) do
  local there = false
  for _, url in ipairs(redis.call('HKEYS', key)) do there = there or url:sub(-#ARGV[1]) == ARGV[1] end
  if not there then missing[#missing + 1] = i end
end
return missing`;
  const places = await redis.ask('EVAL', script, String(ids.length), ...ids.map(tunnelsKey), `:${port}`);
  return (places as number[]).map((place) => ids[place - 1] ?? assert.fail());
}

function together(reports: readonly LoadReport[]): LoadReport {
  const sum = (of: (report: LoadReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  return {
    sent: sum(({ sent }) => sent),
    answered: sum(({ answered }) => answered),
    lost: reports.flatMap(({ lost }) => lost),
    slowestMs: Math.max(...reports.map(({ slowestMs }) => slowestMs)),
  };
}
