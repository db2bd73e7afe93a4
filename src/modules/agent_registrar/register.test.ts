import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { agentInfo, ScriptedAgents } from '../../../test/support/doubles/agents.ts';
import { playedCall } from '../../../test/support/doubles/server_call.ts';
import { recordingLog } from '../../../test/support/recording_log.ts';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
  UnregisterRequestSchema,
  UnregisterResponseSchema,
} from '../../gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { AgentMetaSchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import { Hint } from '../../observability/hints.ts';
import { AppError } from '../../runtime/app_error.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { AgentDirectory } from '../../store/agent_directory.ts';
import { createMemoryStore } from '../../store/memory/memory_store.ts';
import { createAgentRegistrar } from './register.ts';

function setUp(more: { agents?: ScriptedAgents; broken?: boolean } = {}) {
  const { log, lines } = recordingLog();
  const done: unknown[] = [];
  const keep = (...what: unknown[]) => {
    if (more.broken) return Promise.reject(new Error('store down'));
    done.push(what);
    return Promise.resolve();
  };
  const directory: AgentDirectory = {
    register: (agent, ttlMs) => keep('register', agent, ttlMs),
    unregister: (agent) => keep('unregister', agent),
    byAgentIds: () => Promise.resolve([]),
    byProjectIds: () => Promise.resolve([]),
    countByVersion: () => Promise.resolve(new Map()),
    count: () => Promise.resolve(0),
    lastSeenMs: () => Promise.resolve(undefined),
  };
  const agents = more.agents ?? new ScriptedAgents(agentInfo);
  const clock = new FakeClock();
  const { usageCounters: usage } = createMemoryStore({ clock });
  const [register, unregister] = createAgentRegistrar({ agents, directory, ttlMs: 300_000, usage, clock, log });
  return { register: register!, unregister: unregister!, agents, usage, done, lines };
}

const pod = { agentId: 42n, projectId: 7n, connectionId: 2n ** 62n };

test('a pod registers with what it says of itself, and may be late once', async () => {
  const { register, usage, done } = setUp();
  const { call, asks, answers, status } = playedCall();
  const handled = register.handle(call, 'token');
  const agentMeta = create(AgentMetaSchema, { version: 'v19.3.0', podName: 'agentk-1' });
  asks(RegisterRequestSchema, { podId: 2n ** 62n, agentMeta });
  await handled;
  const connectedAtMs = new FakeClock().wallMs();
  assert.deepEqual(done, [['register', { ...pod, agentMeta, connectedAtMs }, 600_000]]);
  assert.equal(answers(RegisterResponseSchema).length, 1);
  assert.equal(status(), '0 ');
  const event = { project_id: 7n, agent_id: 42n, agent_version: 'v19.3.0' };
  assert.deepEqual(usage.events(10), new Map([['register_agent_at_kas', [event]]]));
});

test('a pod that ends unregisters', async () => {
  const { unregister, done } = setUp();
  const { call, asks, answers, status } = playedCall();
  const handled = unregister.handle(call, 'token');
  asks(UnregisterRequestSchema, { podId: 2n ** 62n });
  await handled;
  assert.deepEqual(done, [['unregister', pod]]);
  assert.equal(answers(UnregisterResponseSchema).length, 1);
  assert.equal(status(), '0 ');
});

test('an agent that is known is not asked about', async () => {
  const agents = new ScriptedAgents('never');
  agents.known = agentInfo;
  const { register, done } = setUp({ agents });
  const { call, asks } = playedCall();
  const handled = register.handle(call, 'token');
  asks(RegisterRequestSchema, { podId: 1n });
  await handled;
  assert.equal(done.length, 1);
});

test('an agent that is refused, or cannot be asked about, gets that status and is not kept', async () => {
  for (const code of [StatusCode.Unauthenticated, StatusCode.Unavailable]) {
    const error = new AppError(code, 'no');
    const { register, done } = setUp({ agents: new ScriptedAgents(error) });
    const { call, asks } = playedCall();
    const handled = register.handle(call, 'token');
    asks(RegisterRequestSchema, { podId: 1n });
    await assert.rejects(async () => handled, error);
    assert.deepEqual(done, []);
  }
});

test('a store in trouble is the log’s to explain, and Unavailable to the agent', async () => {
  for (const [which, schema, message] of [
    ['register', RegisterRequestSchema, 'Failed to register agent'],
    ['unregister', UnregisterRequestSchema, 'Failed to unregister agent'],
  ] as const) {
    const all = setUp({ broken: true });
    const { call, asks } = playedCall({ 'x-request-id': 'id-1' });
    const handled = all[which].handle(call, 'token');
    asks(schema, { podId: 1n });
    await assert.rejects(async () => handled, { code: StatusCode.Unavailable, message });
    assert.deepEqual(all.lines, [
      {
        level: 'error',
        message,
        fields: { agent_id: 42n, error: 'store down', hint: Hint.store, correlation_id: 'id-1' },
      },
    ]);
  }
});

test('a client that leaves before its request registers nothing', async () => {
  const { register, done, agents } = setUp();
  const { call, stream } = playedCall();
  const handled = register.handle(call, 'token');
  stream.lose();
  await handled;
  await nextTurn();
  assert.deepEqual([done, agents.asked], [[], []]);
});
