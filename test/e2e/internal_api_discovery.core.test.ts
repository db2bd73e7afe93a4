// What tools ask of 8153 without knowing GitLab: health that is watched, and reflection as grpcurl uses it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createFileRegistry, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/gen/grpc/health/v1/health_pb.ts';
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import type { GrpcConnection } from '../support/grpc_client.ts';
import { ask } from '../support/http_client.ts';
import { railsJwt } from '../support/internal_api.ts';
import { type InternalApi, startInternalApi } from '../support/internal_api_server.ts';

const watch = '/grpc.health.v1.Health/Watch';

describe('discovery on the internal API', () => {
  let kas: InternalApi;
  let connection: GrpcConnection;
  before(async () => {
    kas = await startInternalApi();
    ({ connection } = kas);
  });
  after(() => kas.stop());
  const token = () => ({ token: undefined, headers: { authorization: `Bearer ${railsJwt(kas.gitlab.secret)}` } });

  for (const version of ['v1', 'v1alpha']) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;

    test(`reflection ${version} needs the JWT`, async () => {
      const call = connection.call(path, { token: undefined });
      assert.deepEqual(await call.status, { code: 16, message: 'Request unauthenticated with bearer' });
    });

    test(`reflection ${version} tells what is served, and how to call it`, async () => {
      const call = connection.call(path, token());
      const asks = async (messageRequest: MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest']) => {
        call.sendMessage(ServerReflectionRequestSchema, messageRequest === undefined ? {} : { messageRequest });
        return (await call.nextMessage(ServerReflectionResponseSchema)).messageResponse;
      };
      const list = await asks({ case: 'listServices', value: '' });
      assert.ok(list.case === 'listServicesResponse');
      const names = list.value.service.map(({ name }) => name);
      for (const name of [
        'gitlab.agent.agent_tracker.rpc.AgentTracker',
        'gitlab.agent.notifications.rpc.Notifications',
        'gitlab.agent.server_info.rpc.ServerInfo',
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection',
      ]) {
        assert.ok(names.includes(name), name);
      }

      for (const symbol of [...names, 'gitlab.agent.agent_tracker.rpc.AgentTracker.GetConnectedAgents']) {
        const files = await asks({ case: 'fileContainingSymbol', value: symbol });
        assert.ok(files.case === 'fileDescriptorResponse', symbol);
        const file = files.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
        const registry = createFileRegistry({ $typeName: FileDescriptorSetSchema.typeName, file: file.reverse() });
        if (names.includes(symbol)) assert.notEqual(registry.getService(symbol), undefined, symbol);
      }

      const file = await asks({ case: 'fileByFilename', value: 'gitlab/agent/entity/entity.proto' });
      assert.equal(file.case, 'fileDescriptorResponse');
      const unknown = await asks({ case: 'fileContainingSymbol', value: 'no.such.Symbol' });
      assert.ok(unknown.case === 'errorResponse');
      assert.deepEqual([unknown.value.errorCode, unknown.value.errorMessage], [5, 'Symbol not found: no.such.Symbol']);
      assert.equal((await asks({ case: 'fileByFilename', value: 'no.proto' })).case, 'errorResponse');
      assert.equal((await asks(undefined)).case, 'errorResponse');
      call.halfClose();
      assert.equal(await call.next(), undefined);
      assert.deepEqual(await call.status, { code: 0, message: '' });
    });
  }

  test('reflection wants HTTP/2', async () => {
    const headers = {
      authorization: `Bearer ${railsJwt(kas.gitlab.secret)}`,
      'content-type': 'application/connect+json',
    };
    const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
    assert.equal((await ask(kas.server.endpoints.api, { method: 'POST', path, headers, body: '' })).status, 505);
  });

  test('health can be watched, by anybody', async () => {
    const call = connection.call(watch, { token: undefined });
    call.sendMessage(HealthCheckRequestSchema, {});
    call.halfClose();
    assert.equal((await call.nextMessage(HealthCheckResponseSchema)).status, Serving.SERVING);
    const other = connection.call(watch, { token: undefined });
    other.sendMessage(HealthCheckRequestSchema, { service: 'no.such.Service' });
    other.halfClose();
    assert.equal((await other.nextMessage(HealthCheckResponseSchema)).status, Serving.SERVICE_UNKNOWN);
    other.cancel();
    call.cancel();
  });
});

test('who watches health, or explores, hears that the server leaves, and does not hold it up', async () => {
  const kas = await startInternalApi({ api: { listen: { listen_grace_period: '2s' } } });
  const { connection } = kas;
  const call = connection.call(watch, { token: undefined });
  call.sendMessage(HealthCheckRequestSchema, {});
  call.halfClose();
  assert.equal((await call.nextMessage(HealthCheckResponseSchema)).status, Serving.SERVING);
  const reflection = connection.call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', {
    token: undefined,
    headers: { authorization: `Bearer ${railsJwt(kas.gitlab.secret)}` },
  });
  reflection.sendMessage(ServerReflectionRequestSchema, { messageRequest: { case: 'listServices', value: '' } });
  await reflection.nextMessage(ServerReflectionResponseSchema);
  const stopped = kas.server.stop();
  assert.equal((await call.nextMessage(HealthCheckResponseSchema)).status, Serving.NOT_SERVING);
  assert.equal(await call.next(), undefined);
  assert.deepEqual(await call.status, { code: 0, message: '' });
  assert.deepEqual(await reflection.status, { code: 0, message: '' });
  connection.close();
  await stopped;
  await kas.gitlab.close();
});
