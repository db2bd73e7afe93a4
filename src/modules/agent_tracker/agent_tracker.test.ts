import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Code, createClient, createRouterTransport } from '@connectrpc/connect';
import { recordingLog, withoutCorrelation } from '../../../test/support/recording_log.ts';
import { AgentTracker } from '../../gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { AgentMetaSchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import { Hint } from '../../observability/hints.ts';
import { createErrorInterceptor } from '../../rpc/call_error.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import type { AgentDirectory } from '../../store/agent_directory.ts';
import { MemoryAgentDirectory } from '../../store/memory/agent_directory.ts';
import { createAgentTracker } from './agent_tracker.ts';

function setUp(directory: AgentDirectory = new MemoryAgentDirectory(new FakeClock())) {
  const { log, lines } = recordingLog();
  const interceptors = [createErrorInterceptor(log)];
  const transport = createRouterTransport(createAgentTracker({ directory, log }), { router: { interceptors } });
  return { client: createClient(AgentTracker, transport), directory, lines };
}

test('a pod is told of with all that is known', async () => {
  const { client, directory } = setUp();
  const agentMeta = create(AgentMetaSchema, { version: 'v19.3.0', podName: 'agentk-1' });
  const pod = { agentId: 1n, projectId: 7n, connectionId: 2n ** 62n };
  await directory.register({ ...pod, agentMeta, connectedAtMs: 1_500_000_000_250 }, 1000);
  const { agents } = await client.getConnectedAgentksByAgentIDs({ agentIds: [1n] });
  assert.equal(agents.length, 1);
  const { connectedAt, agentMeta: told, agentId, projectId, connectionId } = agents[0]!;
  assert.deepEqual({ agentId, projectId, connectionId }, pod);
  assert.deepEqual(told, agentMeta);
  assert.deepEqual([connectedAt?.seconds, connectedAt?.nanos], [1_500_000_000n, 250_000_000]);
});

test('a pod that says nothing of itself is told of all the same', async () => {
  const { client, directory } = setUp();
  const pod = { agentId: 1n, projectId: 7n, connectionId: 3n };
  await directory.register({ ...pod, agentMeta: undefined, connectedAtMs: 0 }, 1000);
  const { agents } = await client.getConnectedAgents({ request: { case: 'projectId', value: 7n } });
  assert.deepEqual([agents.length, agents[0]?.agentMeta], [1, undefined]);
  assert.deepEqual(await client.countAgentsByAgentVersions({}).then((r) => r.agentVersions), { '': 1n });
});

test('agent 0 is nobody, which is not the same as not asking', async () => {
  const { client } = setUp();
  assert.deepEqual((await client.getConnectedAgents({ request: { case: 'agentId', value: 0n } })).agents, []);
  await assert.rejects(client.getConnectedAgents({}), {
    code: Code.InvalidArgument,
    rawMessage: 'invalid GetConnectedAgentsRequest.Request: value is required',
  });
});

test('a store in trouble is Unavailable, and the log’s to explain', async () => {
  const broken = () => Promise.reject(new Error('store down'));
  const { client, lines } = setUp({
    register: broken,
    unregister: broken,
    byAgentIds: broken,
    byProjectIds: broken,
    countByVersion: broken,
    count: broken,
    lastSeenMs: broken,
  });
  for (const [asked, method, what] of [
    [
      () => client.getConnectedAgentsByAgentIDs({ agentIds: [1n] }),
      'GetConnectedAgentsByAgentIDs',
      'GetConnectionsByAgentId() failed',
    ],
    [
      () => client.getConnectedAgentsByProjectIDs({ projectIds: [1n] }),
      'GetConnectedAgentsByProjectIDs',
      'GetConnectionsByProjectId() failed',
    ],
    [() => client.countAgentsByAgentVersions({}), 'CountAgentsByAgentVersions', 'CountAgentsByAgentVersions() failed'],
  ] as const) {
    await assert.rejects(asked, { code: Code.Unavailable, rawMessage: what });
    const call = { grpc_service: 'gitlab.agent.agent_tracker.rpc.AgentTracker', grpc_method: method };
    const line = { level: 'error', message: what, fields: { ...call, error: 'store down', hint: Hint.store } };
    assert.deepEqual(withoutCorrelation(lines.splice(0)), [line]);
  }
});
