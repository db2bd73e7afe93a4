import assert from 'node:assert/strict';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
} from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { AgentTracker } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { ServerInfo } from '../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, grpcConnection, unary } from '../support/grpc_client.ts';
import { pathOf, railsJwt } from '../support/internal_api.ts';
import { startServer } from '../support/server.ts';
import { cpuMs } from './stage.ts';

const AGENTS = 10_000;
const IDS = 1000;

export interface Measured {
  readonly what: string;
  readonly value: string;
  readonly goal: string;
}

/** GitLab's calls: how many small ones a core answers, and how long a page of agents takes. */
export async function measureInternalApi(): Promise<Measured[]> {
  const gitlab = await startGitLab();
  for (let id = 1; id <= AGENTS; id++)
    gitlab.agents.set(`bench-${id}`, { id, name: `agent-${id}`, projectId: 1000 + id });
  const server = await startServer({
    gitlab,
    config: {
      gitlab: { api_rate_limit: { refill_rate_per_second: 100_000, bucket_size: 100_000 } },
      observability: { logging: { level: 'info' } },
    },
  });
  const agents = await grpcConnection(server.endpoints.agent);
  const api = await grpcConnection(server.endpoints.api);
  try {
    let id = 1;
    await atOnce(50, async () => {
      while (id <= AGENTS) await register(agents, id++);
    });
    return [await smallCalls(api, gitlab.secret, server.pid), await pageOfAgents(api, gitlab.secret)];
  } finally {
    for (const connection of [agents, api]) connection.close();
    await server.stop();
    await gitlab.close();
  }
}

async function register(connection: GrpcConnection, id: number): Promise<void> {
  const kubernetesVersion = { major: '1', minor: '36', gitVersion: 'v1.36.0', platform: 'linux/amd64' };
  const pod = { podNamespace: 'gitlab-agent', podName: `agentk-${id}`, kubernetesVersion };
  const request = { podId: BigInt(id), agentMeta: { version: 'v19.3.0', commitId: 'c0ffee12', ...pod } };
  const path = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register';
  const token = `bench-${id}`;
  const { status } = await unary(connection, path, RegisterRequestSchema, request, RegisterResponseSchema, { token });
  assert.equal(status.code, 0);
}

async function smallCalls(api: GrpcConnection, secret: Buffer, pid: number): Promise<Measured> {
  const method = ServerInfo.method.getServerInfo;
  const call = async () => {
    const { status } = await unary(api, pathOf(method), method.input, {}, method.output, signed(secret));
    assert.equal(status.code, 0);
  };
  const burst = async (calls: number) => {
    let left = calls;
    await atOnce(32, async () => {
      while (left-- > 0) await call();
    });
  };
  await burst(2000);
  const before = cpuMs(pid);
  await burst(10_000);
  const perSecond = (10_000 * 1000) / (cpuMs(pid) - before);
  return { what: 'unary calls to 8153 that a core answers', value: `${perSecond.toFixed(0)}/s`, goal: '≥ 1500/s' };
}

async function pageOfAgents(api: GrpcConnection, secret: Buffer): Promise<Measured> {
  const method = AgentTracker.method.getConnectedAgentksByAgentIDs;
  const agentIds = Array.from({ length: IDS }, (_, i) => BigInt(1 + (i * AGENTS) / IDS));
  const times: number[] = [];
  for (let round = 0; round < 50; round++) {
    const started = performance.now();
    const call = api.call(pathOf(method), signed(secret));
    call.sendMessage(method.input, { agentIds });
    call.halfClose();
    assert.ok((await call.next())!.length > 50 * IDS);
    assert.equal((await call.status).code, 0);
    times.push(performance.now() - started);
  }
  const median = times.sort((a, b) => a - b)[25]!;
  return { what: `${IDS} agents of ${AGENTS} by their ids`, value: `${median.toFixed(1)} ms`, goal: '≤ 30 ms' };
}

function signed(secret: Buffer) {
  return { token: undefined, headers: { authorization: `Bearer ${railsJwt(secret)}` } };
}

async function atOnce(workers: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: workers }, work));
}
