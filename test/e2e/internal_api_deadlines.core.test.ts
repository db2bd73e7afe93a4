// Deadlines of calls to 8153, wherever the call is when they pass (docs/protocol/internal_api.md).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Notifications } from '../../src/gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/gen/grpc/health/v1/health_pb.ts';
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import { dial } from '../support/endpoint.ts';
import type { GrpcConnection } from '../support/grpc_client.ts';
import { pathOf, railsJwt } from '../support/internal_api.ts';
import { type InternalApi, startInternalApi } from '../support/internal_api_server.ts';
import { within } from '../support/wait.ts';

const push = pathOf(Notifications.method.gitPushEvent);
const late = { code: 4, message: 'context deadline exceeded' };

describe('deadlines on the internal API', () => {
  let kas: InternalApi;
  let connection: GrpcConnection;
  before(async () => {
    kas = await startInternalApi();
    ({ connection } = kas);
  });
  after(() => kas.stop());

  const authorization = () => `Bearer ${railsJwt(kas.gitlab.secret)}`;
  const call = (path: string, timeout: string, more: Record<string, string> = {}) =>
    connection.call(path, {
      token: undefined,
      headers: { authorization: authorization(), 'grpc-timeout': timeout, ...more },
    });

  const halfAMessage = Buffer.from([0, 0, 0, 0, 9, 1]);

  test('a request that never comes whole, as gRPC', async () => {
    const half = call(push, '200m');
    half.sendRaw(halfAMessage);
    assert.deepEqual(await within('the status', 5000, half.status), late);
  });

  test('a request that never comes whole, as gRPC-Web', async () => {
    const half = call(push, '200m', { 'content-type': 'application/grpc-web+proto' });
    half.sendRaw(halfAMessage);
    assert.match(String(await half.next(5000)), /^grpc-message: context%20deadline%20exceeded\r\ngrpc-status: 4\r\n$/m);
  });

  test('a request that never comes whole, as JSON over HTTP/1.1', async () => {
    const socket = await dial(kas.server.endpoints.api);
    const headers = `Authorization: ${authorization()}\r\nContent-Type: application/json\r\nConnect-Timeout-Ms: 200`;
    socket.write(`POST ${push} HTTP/1.1\r\nHost: a\r\n${headers}\r\nContent-Length: 9\r\n\r\n{`);
    const answer = await within('the answer', 5000, new Promise((resolve) => socket.once('data', resolve)));
    assert.match(
      String(answer),
      /^HTTP\/1\.1 504 [\s\S]*"code":"deadline_exceeded","message":"context deadline exceeded"/,
    );
    socket.destroy();
  });

  test('streams that go on', async () => {
    const watch = call('/grpc.health.v1.Health/Watch', '300m');
    watch.sendMessage(HealthCheckRequestSchema, {});
    watch.halfClose();
    assert.equal((await watch.nextMessage(HealthCheckResponseSchema)).status, Serving.SERVING);
    const reflection = call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', '300m');
    reflection.sendMessage(ServerReflectionRequestSchema, { messageRequest: { case: 'listServices', value: '' } });
    await reflection.nextMessage(ServerReflectionResponseSchema);
    assert.deepEqual(await within('the end of the watch', 5000, watch.status), late);
    assert.deepEqual(await within('the end of the questions', 5000, reflection.status), late);
  });
});
