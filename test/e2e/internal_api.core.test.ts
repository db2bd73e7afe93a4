// 8153 as GitLab calls it: each method by gRPC, Connect and gRPC-Web, over HTTP/1.1 and HTTP/2, TCP, TLS and UNIX sockets.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DescMethodUnary } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
  UnregisterRequestSchema,
  UnregisterResponseSchema,
} from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { AgentTracker } from '../../src/gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { ServerInfo } from '../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../../src/gen/grpc/health/v1/health_pb.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, grpcConnection, unary } from '../support/grpc_client.ts';
import { type InternalCaller, internalCallers, railsJwt } from '../support/internal_api.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { makeTls } from '../support/tls.ts';
import { eventually } from '../support/wait.ts';

const OK = { code: 0, message: '' };
const registrar = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar';

const podOf = (name: string, version = 'v19.2.0') => ({
  version,
  commitId: 'c0ffee',
  podNamespace: 'gitlab-agent',
  podName: name,
  kubernetesVersion: { major: '1', minor: '36', gitVersion: 'v1.36.0', platform: 'linux/arm64' },
});

async function register(agent: GrpcConnection, podId: bigint, podName: string, version?: string, token?: string) {
  const { status } = await unary(
    agent,
    `${registrar}/Register`,
    RegisterRequestSchema,
    { podId, agentMeta: podOf(podName, version) },
    RegisterResponseSchema,
    token === undefined ? {} : { token },
  );
  assert.deepEqual(status, OK);
}

async function unregister(agent: GrpcConnection, podId: bigint, token?: string) {
  const { status } = await unary(
    agent,
    `${registrar}/Unregister`,
    UnregisterRequestSchema,
    { podId },
    UnregisterResponseSchema,
    token === undefined ? {} : { token },
  );
  assert.deepEqual(status, OK);
}

describe('the internal API', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let agent: GrpcConnection;
  let callers: InternalCaller[];
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    agent = await grpcConnection(server.endpoints.agent);
    callers = await internalCallers(server.endpoints.api, gitlab.secret);
  });
  after(async () => {
    agent.close();
    for (const caller of callers) caller.close();
    await server.stop();
    await gitlab.close();
  });

  test('GetServerInfo gives the GitLab release that is served', async () => {
    for (const { name, call } of callers) {
      const { status, response } = await call(ServerInfo.method.getServerInfo, {});
      assert.deepEqual(status, OK, name);
      assert.equal(response?.currentServerInfo?.version, 'v19.3.0', name);
      assert.match(response?.currentServerInfo?.gitRef ?? '', /^\w+$/, name);
    }
  });

  test('connected agents are found by agent and by project, under all names that GitLab has had for that', async () => {
    const since = Date.now();
    await register(agent, 2n ** 62n + 1n, 'agentk-1');
    await register(agent, 7n, 'agentk-2');
    await register(agent, 8n, 'agentk-1', 'v19.3.0', 'agent-token-2');
    const { method } = AgentTracker;
    for (const { name, call } of callers) {
      const found = await Promise.all([
        call(method.getConnectedAgentksByAgentIDs, { agentIds: [1n, 99n] }),
        call(method.getConnectedAgentsByAgentIDs, { agentIds: [1n] }),
        call(method.getConnectedAgentsByAgentIds, { agentIds: [1n, 1n] }),
        call(method.getConnectedAgents, { request: { case: 'agentId', value: 1n } }),
        call(method.getConnectedAgents, { request: { case: 'projectId', value: 1001n } }),
        call(method.getConnectedAgentsByProjectIDs, { projectIds: [1001n, 5n] }),
      ]);
      for (const { status, response } of found) {
        assert.deepEqual(status, OK, name);
        const pods = [...(response?.agents ?? [])].sort((a, b) => (a.connectionId < b.connectionId ? -1 : 1));
        assert.deepEqual(
          pods.map(({ connectionId, agentId, projectId }) => ({ connectionId, agentId, projectId })),
          [
            { connectionId: 7n, agentId: 1n, projectId: 1001n },
            { connectionId: 2n ** 62n + 1n, agentId: 1n, projectId: 1001n },
          ],
          name,
        );
        const [, first] = pods;
        assert.equal(first?.agentMeta?.version, 'v19.2.0');
        assert.equal(first.agentMeta.commitId, 'c0ffee');
        assert.equal(first.agentMeta.podNamespace, 'gitlab-agent');
        assert.equal(first.agentMeta.podName, 'agentk-1');
        assert.equal(first.agentMeta.kubernetesVersion?.gitVersion, 'v1.36.0');
        const connectedAt = first.connectedAt === undefined ? 0 : timestampMs(first.connectedAt);
        assert.ok(connectedAt >= since - 1 && connectedAt <= Date.now() + 1, `connected at ${connectedAt}`);
      }
      const both = await call(method.getConnectedAgentksByAgentIDs, { agentIds: [1n, 2n] });
      assert.equal(both.response?.agents.length, 3, name);
      const none = await call(method.getConnectedAgentksByAgentIDs, { agentIds: [] });
      assert.deepEqual([none.status, none.response?.agents], [OK, []], name);
      const versions = await call(method.countAgentsByAgentVersions, {});
      assert.deepEqual(versions.response?.agentVersions, { 'v19.2.0': 1n, 'v19.3.0': 1n }, name);
    }
  });

  test('a pod that starts again is listed once, one that unregisters not at all', async () => {
    const [caller] = callers;
    const listed = async () => {
      const { response } = await caller!.call(AgentTracker.method.getConnectedAgentksByAgentIDs, { agentIds: [9n] });
      return response?.agents.map(({ connectionId }) => connectionId);
    };
    const token = 'agent-token-9';
    gitlab.agents.set(token, { id: 9, name: 'agent-9', projectId: 1009 });
    await register(agent, 1n, 'agentk-9', 'v19.2.0', token);
    await register(agent, 2n, 'agentk-9', 'v19.3.0', token);
    assert.deepEqual(await listed(), [2n]);
    await register(agent, 2n, 'agentk-9', 'v19.3.0', token);
    assert.deepEqual(await listed(), [2n]);
    await unregister(agent, 1n, token);
    assert.deepEqual(await listed(), [2n]);
    await unregister(agent, 2n, token);
    assert.deepEqual(await listed(), []);
  });

  test('a push is taken', async () => {
    for (const { name, call } of callers) {
      const project = { id: 1001n, fullPath: 'group/project-1001' };
      const { status, response } = await call(Notifications.method.gitPushEvent, { event: { project } });
      assert.deepEqual(status, OK, name);
      assert.notEqual(response, undefined, name);
    }
  });

  test('feature flags of GitLab are taken, whatever they are', async () => {
    const connection = await grpcConnection(server.endpoints.api);
    const { input, output } = ServerInfo.method.getServerInfo;
    const headers = {
      authorization: `bearer ${railsJwt(gitlab.secret)}`,
      'kas-feature-one-flag': 'true',
      'kas-feature-other': 'perhaps',
      'grpc-timeout': '4990m',
    };
    const path = '/gitlab.agent.server_info.rpc.ServerInfo/GetServerInfo';
    const { status } = await unary(connection, path, input, {}, output, { token: undefined, headers });
    connection.close();
    assert.deepEqual(status, OK);
  });

  test('health needs no token', async () => {
    for (const { name, call } of callers) {
      for (const service of ['', 'gitlab.agent.agent_tracker.rpc.AgentTracker']) {
        const { status, response } = await call(Health.method.check, { service }, null);
        assert.deepEqual([status, response?.status], [OK, Serving.SERVING], name);
      }
      const { status } = await call(Health.method.check, { service: 'no.such.Service' }, null);
      assert.deepEqual(status, { code: 5, message: 'unknown service' }, name);
    }
  });
});

describe('the internal API elsewhere than on plain TCP', () => {
  const works = async (endpoint: RunningServer['endpoints']['api'], secret: Buffer) => {
    const callers = await internalCallers(endpoint, secret);
    for (const { name, call } of callers) {
      const { status } = await call(ServerInfo.method.getServerInfo as DescMethodUnary, {});
      assert.deepEqual(status, OK, name);
      const unknown = await call(ServerInfo.method.getServerInfo as DescMethodUnary, {}, null);
      assert.equal(unknown.status.code, 16, name);
    }
    for (const caller of callers) caller.close();
  };

  test('on a UNIX socket', async () => {
    const gitlab = await startGitLab();
    const server = await startServer({ gitlab, network: 'unix' });
    await works(server.endpoints.api, gitlab.secret);
    await server.stop();
    await gitlab.close();
  });

  test('with TLS', async () => {
    const gitlab = await startGitLab();
    const tls = makeTls();
    const folder = mkdtempSync(join(tmpdir(), 'internal-api-'));
    const [certificate_file, key_file] = [join(folder, 'server.crt'), join(folder, 'server.key')];
    writeFileSync(certificate_file, tls.cert);
    writeFileSync(key_file, tls.key);
    const server = await startServer({ gitlab, config: { api: { listen: { certificate_file, key_file } } } });
    await works({ ...server.endpoints.api, ca: tls.ca }, gitlab.secret);
    await server.stop();
    await gitlab.close();
    rmSync(folder, { recursive: true });
  });
});

test('an agent that falls silent is listed until it has missed a registration, and no longer', async () => {
  const gitlab = await startGitLab();
  const ttl = { redis_conn_info_ttl: '1s', redis_conn_info_refresh: '0.5s' };
  const server = await startServer({ gitlab, config: { agent: ttl } });
  const agent = await grpcConnection(server.endpoints.agent);
  const callers = await internalCallers(server.endpoints.api, gitlab.secret);
  const listed = async () => {
    const method = AgentTracker.method.getConnectedAgentksByAgentIDs;
    return (await callers[0]!.call(method, { agentIds: [1n] })).response?.agents.length;
  };
  await register(agent, 1n, 'agentk-1');
  const registered = performance.now();
  agent.close();
  assert.equal(await listed(), 1, 'its connection does not count');
  await eventually('the agent to be forgotten', async () => (await listed()) === 0);
  assert.ok(performance.now() - registered >= 1900, 'one registration may be late');
  for (const caller of callers) caller.close();
  await server.stop();
  await gitlab.close();
});
