import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import {
  ReconcileProjectsRequestSchema,
  ReconcileProjectsResponseSchema,
} from '../../src/gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, type GrpcStream, grpcConnection, unary } from '../support/grpc_client.ts';
import { pathOf, railsJwt } from '../support/internal_api.ts';
import type { ConfigTree } from '../support/kas_config.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import type { Measured } from './internal_api.ts';
import { type QuickGitaly, startQuickGitaly } from './quick_gitaly.ts';
import { cpuMs, pause, rssMiB } from './stage.ts';

const AGENTS = 1000;
const IN_ONE_PROJECT = 100;
const PROJECT = 'group/many';
const CONFIGURATION = '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';
const FLUX = '/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects';
const SETTLED_MS = 8000;
const IDLE_MS = 20_000;
const POLLING_MS = 60_000;

/** The default limits of calls to one Gitaly, and of all together. */
const LIMIT = { perSecond: 15, burst: 40 };
const plenty = { refill_rate_per_second: 1_000_000, bucket_size: 1_000_000 };

interface World {
  readonly gitlab: FakeGitLab;
  readonly gitaly: QuickGitaly;
}

/** What agents that wait for their configuration cost, how soon they have what is new, and how gently Gitaly is asked. */
export async function measureConfiguration(): Promise<Measured[]> {
  const gitaly = await startQuickGitaly('observability: {logging: {level: info}}\n');
  const gitlab = await startGitLab();
  try {
    addAgents({ gitlab, gitaly });
    return [...(await waiting({ gitlab, gitaly })), ...(await polling({ gitlab, gitaly }))];
  } finally {
    await gitlab.close();
    gitaly.close();
  }
}

/** Each agent has a project of its own, but for the first hundred. */
function addAgents({ gitlab, gitaly: { address } }: World): void {
  for (let id = 1; id <= 2 * AGENTS; id++) {
    const inOne = id <= IN_ONE_PROJECT;
    const path = inOne ? PROJECT : `group/project-${id}`;
    const project = { path, repositoryPath: inOne ? 'p/many.git' : `p/${id}.git`, gitaly: { address, token: 't' } };
    gitlab.agents.set(tokenOf(id), { id, name: `agent-${id}`, projectId: inOne ? 1 : 1000 + id, project });
  }
}

function tokenOf(id: number): string {
  return `bench-${id}`;
}

function start({ gitlab }: World, config: ConfigTree): Promise<RunningServer> {
  const base: ConfigTree = {
    gitlab: { api_rate_limit: plenty },
    observability: { logging: { level: 'info' } },
  };
  return startServer({ gitlab, config: { ...base, ...config } });
}

/** Agents that have what there is, each on its own connection, as in life. */
async function waiting(world: World): Promise<Measured[]> {
  const limits = { global_api_rate_limit: plenty, per_server_api_rate_limit: plenty };
  const server = await start(world, { gitaly: limits });
  const connections: GrpcConnection[] = [];
  try {
    await pause(1500);
    const before = rssMiB(server.pid);
    for (let id = 1; id <= AGENTS; id++) connections.push(await grpcConnection(server.endpoints.agent));
    await pause(SETTLED_MS);
    const connected = rssMiB(server.pid);
    const calls = connections.map((connection, i) => open(connection, i + 1));
    await Promise.all(calls.map((call) => call.nextMessage(ConfigurationResponseSchema, 60_000)));
    await pause(SETTLED_MS);
    const each = (from: number) => `${(((rssMiB(server.pid) - from) * 1024) / AGENTS).toFixed(0)} KiB`;
    const memory = [each(connected), each(before)] as const;
    const first = rssMiB(server.pid);
    for (let id = AGENTS + 1; id <= 2 * AGENTS; id++) {
      const connection = await grpcConnection(server.endpoints.agent);
      connections.push(connection);
      await open(connection, id).nextMessage(ConfigurationResponseSchema);
    }
    await pause(SETTLED_MS);
    const further = each(first);
    const all = rssMiB(server.pid);
    const cpu = cpuMs(server.pid);
    await pause(IDLE_MS);
    const idle = (cpuMs(server.pid) - cpu) / IDLE_MS;
    const found: Measured[] = [
      { what: '2,000 agents wait for configuration: idle CPU', value: `${(100 * idle).toFixed(2)} %`, goal: '< 2 %' },
      { what: '… RSS each of the first 1,000, which come at once', value: memory[0], goal: '< 30 KiB' },
      { what: '… the connection included', value: memory[1], goal: '' },
      { what: '… RSS each of the next 1,000, the connection included', value: further, goal: '' },
      {
        what: '… RSS of the process: at its start, with 1,000 and with 2,000',
        value: `${[before, first, all].map((mib) => mib.toFixed(0)).join(', ')} MiB`,
        goal: '',
      },
    ];
    const api = await grpcConnection(server.endpoints.api);
    connections.push(api);
    const crowd = calls.slice(0, IN_ONE_PROJECT);
    const configured = await medianOf(5, async () => {
      const commitId = randomBytes(20).toString('hex');
      world.gitaly.commitId = commitId;
      return pushed(world, api, crowd, async (call) => {
        const answer = await call.nextMessage(ConfigurationResponseSchema);
        assert.equal(answer.commitId, commitId);
      });
    });
    found.push({
      what: 'a push: 100 agents have their configuration',
      value: `${configured.toFixed(0)} ms`,
      goal: '< 300 ms',
    });
    const flux = connections.slice(0, IN_ONE_PROJECT).map((connection, i) => watchProject(connection, i + 1));
    await pause(1000);
    const notified = await medianOf(5, () =>
      pushed(world, api, flux, async (call) => void (await call.nextMessage(ReconcileProjectsResponseSchema))),
    );
    found.push({ what: 'a push: 100 agents’ Flux is told', value: `${notified.toFixed(0)} ms`, goal: '< 300 ms' });
    return found;
  } finally {
    for (const connection of connections) connection.close();
    await server.stop();
  }
}

function open(connection: GrpcConnection, id: number): GrpcStream {
  const call = connection.call(CONFIGURATION, { token: tokenOf(id) });
  call.sendMessage(ConfigurationRequestSchema, { skipRegister: true });
  call.halfClose();
  return call;
}

function watchProject(connection: GrpcConnection, id: number): GrpcStream {
  const call = connection.call(FLUX, { token: tokenOf(id) });
  call.sendMessage(ReconcileProjectsRequestSchema, { project: [{ id: PROJECT }] });
  call.halfClose();
  return call;
}

/** Milliseconds from the moment that GitLab tells of a push until all have heard. */
async function pushed(
  { gitlab }: World,
  api: GrpcConnection,
  calls: readonly GrpcStream[],
  heard: (call: GrpcStream) => Promise<void>,
): Promise<number> {
  const method = Notifications.method.gitPushEvent;
  const headers = { authorization: `Bearer ${railsJwt(gitlab.secret)}` };
  const started = performance.now();
  const event = { project: { id: 1n, fullPath: PROJECT } };
  const { status } = await unary(api, pathOf(method), method.input, { event }, method.output, {
    token: undefined,
    headers,
  });
  assert.equal(status.code, 0, status.message);
  await Promise.all(calls.map(heard));
  const took = performance.now() - started;
  return took;
}

async function medianOf(rounds: number, measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(await measure());
  return values.sort((a, b) => a - b)[rounds >> 1]!;
}

/** All agents arrive at once and are polled so often that the limits, which are the default ones, hold them up all the time. */
async function polling(world: World): Promise<Measured[]> {
  const server = await start(world, { agent: { configuration: { poll_period: '10s' } } });
  const connections = await Promise.all(Array.from({ length: 10 }, () => grpcConnection(server.endpoints.agent)));
  try {
    const from = world.gitaly.calls.length;
    for (let id = 1; id <= AGENTS; id++) open(connections[id % 10]!, id);
    await pause(POLLING_MS);
    const times = world.gitaly.calls.slice(from);
    const perSecond = (times.length - LIMIT.burst) / (POLLING_MS / 1000);
    return [
      {
        what: '1,000 repositories are polled: the largest burst above the rate',
        value: `${largestBurst(times).toFixed(0)} calls`,
        goal: `≤ ${LIMIT.burst}`,
      },
      { what: '… calls to Gitaly in the long run', value: `${perSecond.toFixed(1)}/s`, goal: `≤ ${LIMIT.perSecond}/s` },
    ];
  } finally {
    for (const connection of connections) connection.close();
    await server.stop();
  }
}

/** How far the calls of any stretch of time exceed what the rate allows in it. */
function largestBurst(times: readonly number[]): number {
  let most = 0;
  let level = 0;
  let last = times[0] ?? 0;
  for (const time of times) {
    level = Math.max(0, level - ((time - last) / 1000) * LIMIT.perSecond) + 1;
    most = Math.max(most, level);
    last = time;
  }
  return most;
}
