import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startFleet } from '../support/fleet.ts';
import { type AgentRow, defaultTables } from '../support/gitlab/tables.ts';
import type { ConfigTree } from '../support/kas_config.ts';
import { leaveWithAgents } from '../support/leaving_node.ts';
import { startNodes } from '../support/nodes.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import type { Measured } from './internal_api.ts';
import { startQuickGitaly } from './quick_gitaly.ts';
import { cpuMs, pause } from './stage.ts';

const AGENTS = 5000;
const GRACE_SECONDS = 5;
const SETTLED_MS = 60_000;
/** What a node of so many agents renews in Redis it renews every 14 minutes; everything else is repeated more often. */
const MINUTES = 14;

const plenty = { refill_rate_per_second: 1_000_000, bucket_size: 1_000_000 };
const quick: ConfigTree = {
  gitlab: { api_rate_limit: plenty },
  gitaly: { global_api_rate_limit: plenty, per_server_api_rate_limit: plenty },
  observability: { logging: { level: 'info' } },
};

/** A node of thousands of agents leaves, or is killed; the limits of calls to GitLab and Gitaly are the default ones. */
export async function measureLeaving(): Promise<Measured[]> {
  return [...(await left()), ...(await killed())];
}

function killed(): Promise<Measured[]> {
  return withGitaly(async (owner, projectOf) => {
    const limits = { agents: AGENTS, listenGraceSeconds: GRACE_SECONDS, elsewhereWithinMs: 240_000 };
    const options = { ...limits, projectOf, processorMs: cpuMs };
    const { elsewhereMs, arrivalMs, load } = await leaveWithAgents(owner, { ...options, signal: 'SIGKILL' });
    return [
      { what: `${AGENTS} agents are at the other node after kill -9`, value: seconds(elsewhereMs), goal: '≤ 5 s' },
      { what: '… of which a core of that node, with clients of 16 of them', value: seconds(arrivalMs), goal: '' },
      { what: `requests lost, of ${load.sent}`, value: String(load.lost.length), goal: 'those in flight' },
      { what: 'the slowest of them', value: seconds(load.slowestMs), goal: '' },
    ];
  });
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function left(): Promise<Measured[]> {
  return withGitaly(async (owner, projectOf) => {
    const limits = { agents: AGENTS, listenGraceSeconds: GRACE_SECONDS, elsewhereWithinMs: 240_000 };
    const { exitMs, status, elsewhereMs, load } = await leaveWithAgents(owner, {
      ...limits,
      signal: 'SIGTERM',
      projectOf,
    });
    assert.equal(status, 0);
    const since = `since SIGTERM, ${GRACE_SECONDS} s of grace included`;
    for (const words of new Set(load.lost)) process.stderr.write(`lost: ${words}\n`);
    return [
      {
        what: `${AGENTS} agents are at the other node, ${since}`,
        value: seconds(elsewhereMs),
        goal: `≤ ${GRACE_SECONDS + 10} s`,
      },
      { what: `the node has ended, ${since}`, value: seconds(exitMs), goal: '' },
      { what: `requests lost meanwhile, of ${load.sent}`, value: String(load.lost.length), goal: '0' },
      { what: 'the slowest of them', value: seconds(load.slowestMs), goal: '' },
    ];
  });
}

/** Two nodes with thousands of agents each, long after all have come: what Redis is asked. */
export function measureAtRest(): Promise<Measured[]> {
  return withGitaly(async (owner, projectOf) => {
    const redis = await startRedis(owner);
    const tables = defaultTables();
    for (let id = 1; id <= 2 * AGENTS; id++) {
      const project = projectOf(id);
      tables.agents.set(`agent-token-${id}`, { id, name: `agent-${id}`, projectId: id, ...(project && { project }) });
    }
    const backend = await startBackend();
    const nodes = await startNodes({ nodes: [{}, {}], redis, backend, gitlab: { tables }, config: quick });
    owner.after(() => nodes.stop());
    for (const [i, { endpoints }] of nodes.servers.entries()) {
      const fleet = await startFleet(endpoints.agent, { agents: AGENTS, first: 1 + i * AGENTS, parallel: 100 });
      owner.after(() => fleet.stop());
      await fleet.up;
    }
    await pause(SETTLED_MS);
    const minutes: Map<string, number>[] = [];
    for (let minute = 0; minute < MINUTES; minute++) {
      const before = await commandsOf(redis);
      await pause(60_000);
      const after = await commandsOf(redis);
      minutes.push(new Map([...after].map(([name, calls]) => [name, (calls - (before.get(name) ?? 0)) / 60])));
    }
    const total = (minute: Map<string, number>) => [...minute.values()].reduce((sum, calls) => sum + calls, 0);
    const mean = minutes.reduce((sum, minute) => sum + total(minute), 0) / MINUTES;
    const names = [...new Set(minutes.flatMap((minute) => [...minute.keys()]))];
    const meanOf = (name: string) => minutes.reduce((sum, minute) => sum + (minute.get(name) ?? 0), 0) / MINUTES;
    const shares = names
      .map((name) => [name, meanOf(name)] as const)
      .filter(([, calls]) => calls >= 0.5)
      .sort(([, a], [, b]) => b - a)
      .map(([name, calls]) => `${name} ${calls.toFixed(1)}`);
    return [
      {
        what: `Redis, ${2 * AGENTS} agents at rest over 2 nodes`,
        value: `${mean.toFixed(0)} commands/s`,
        goal: '≤ 100',
      },
      {
        what: `… the busiest of ${MINUTES} minutes`,
        value: `${Math.max(...minutes.map(total)).toFixed(0)} commands/s`,
        goal: '',
      },
      { what: '… of these', value: shares.join(', '), goal: '' },
    ];
  });
}

/** Calls of each command so far, our own questions left out. */
async function commandsOf(redis: TestRedis): Promise<Map<string, number>> {
  const stats = String(await redis.ask('INFO', 'commandstats'));
  const calls = [...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)];
  return new Map(calls.filter(([, name]) => name !== 'info').map(([, name = '', count]) => [name, Number(count)]));
}

type Owner = Pick<TestContext, 'after'>;

/** Each agent has a project of its own, on one Gitaly; what `run` gives to its owner ends with it. */
async function withGitaly<T>(
  run: (owner: Owner, projectOf: (id: number) => AgentRow['project']) => Promise<T>,
): Promise<T> {
  const gitaly = await startQuickGitaly('observability: {logging: {level: info}}\n');
  const ends: (() => unknown)[] = [() => gitaly.close()];
  const owner = { after: (end: () => unknown) => void ends.push(end) } as Owner;
  const { address } = gitaly;
  const projectOf = (id: number) => ({
    path: `group/project-${id}`,
    repositoryPath: `p/${id}.git`,
    gitaly: { address, token: 't' },
  });
  try {
    return await run(owner, projectOf);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
