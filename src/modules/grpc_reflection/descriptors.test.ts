import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentTracker } from '../../gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { Descriptors } from './descriptors.ts';

const descriptors = new Descriptors([AgentTracker, Health]);

test('files are found by the names that imports use', () => {
  for (const name of ['gitlab/agent/agent_tracker/rpc/agent_tracker.proto', 'google/protobuf/timestamp.proto']) {
    assert.equal(descriptors.fileByName(name)?.proto.name, name);
  }
  assert.equal(descriptors.fileByName('gitlab/agent/event/event.proto'), undefined);
});

test('symbols of all kinds are found', () => {
  const health = 'grpc/health/v1/health.proto';
  for (const [symbol, file] of [
    ['grpc.health.v1.Health', health],
    ['grpc.health.v1.Health.Check', health],
    ['grpc.health.v1.HealthCheckRequest', health],
    ['grpc.health.v1.HealthCheckRequest.service', health],
    ['grpc.health.v1.HealthCheckResponse.ServingStatus', health],
    ['grpc.health.v1.HealthCheckResponse.SERVING', health],
    [
      'gitlab.agent.agent_tracker.rpc.GetConnectedAgentsRequest.request',
      'gitlab/agent/agent_tracker/rpc/agent_tracker.proto',
    ],
    ['gitlab.agent.entity.AgentMeta', 'gitlab/agent/entity/entity.proto'],
  ] as const) {
    assert.equal(descriptors.fileOf(symbol)?.proto.name, file, symbol);
  }
  for (const symbol of ['', 'grpc.health.v1', 'Health']) assert.equal(descriptors.fileOf(symbol), undefined, symbol);
});

test('a file comes with all that it needs, first and once', () => {
  const names = descriptors.closure(AgentTracker.file).map(({ proto }) => proto.name);
  assert.equal(names[0], 'gitlab/agent/agent_tracker/rpc/agent_tracker.proto');
  assert.deepEqual(names.slice(1).sort(), [
    'gitlab/agent/agent_tracker/agent_tracker.proto',
    'gitlab/agent/entity/entity.proto',
    'google/protobuf/timestamp.proto',
  ]);
});
