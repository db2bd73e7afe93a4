import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AgentMetaSchema } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import { registerEvent } from './register_event.ts';

const connection = { agentId: 2n, projectId: 1002n, connectionId: 7n };

test('an agent that says what it is and where', () => {
  const kubernetesVersion = { major: '1', minor: '34', gitVersion: 'v1.34.2', platform: 'linux/arm64' };
  const meta = create(AgentMetaSchema, { version: 'v18.2.0', podName: 'agentk-0', kubernetesVersion });
  assert.deepEqual(registerEvent(connection, meta), {
    project_id: 1002n,
    agent_id: 2n,
    agent_version: 'v18.2.0',
    architecture: 'arm64',
    kubernetes_version: 'v1.34.2',
  });
});

test('what it does not say is left out', () => {
  const expected = { project_id: 1002n, agent_id: 2n };
  assert.deepEqual(registerEvent(connection, undefined), expected);
  assert.deepEqual(registerEvent(connection, create(AgentMetaSchema)), expected);
});

test('what it says at great length is cut', () => {
  const meta = create(AgentMetaSchema, { version: 'v'.repeat(4_000_000) });
  assert.deepEqual(registerEvent(connection, meta), {
    project_id: 1002n,
    agent_id: 2n,
    agent_version: 'v'.repeat(128),
  });
});
