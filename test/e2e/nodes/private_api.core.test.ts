// What administrators and tools may ask of a node's private API, besides the calls of other nodes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ServerInfo } from '../../../src/gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../src/gen/grpc/health/v1/health_pb.ts';
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../../../src/gen/grpc/reflection/v1/reflection_pb.ts';
import { type FakeGitLab, startGitLab } from '../../support/gitlab/gitlab.ts';
import { type GrpcConnection, grpcConnection, unary } from '../../support/grpc_client.ts';
import { ask } from '../../support/http_client.ts';
import { pathOf, railsJwt } from '../../support/internal_api.ts';
import { type RunningServer, startServer } from '../../support/server.ts';

describe('the private API', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let node: GrpcConnection;
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    node = await grpcConnection(server.endpoints.privateApi);
  });
  after(async () => {
    node.close();
    await server.stop();
    await gitlab.close();
  });
  const secret = () => Buffer.from(readFileSync(server.places.privateApiSecretFile, 'utf8'), 'base64');
  const signed = (claims: Record<string, unknown> = { iss: 'gitlab-kas' }, key: Buffer = secret()) => ({
    token: undefined,
    headers: { authorization: `Bearer ${railsJwt(key, claims)}` },
  });
  const method = ServerInfo.method.getServerInfo;
  const info = (options: Parameters<typeof unary>[5]) =>
    unary(node, pathOf(method), method.input, {}, method.output, options);

  test('says its version to whoever has the secret of nodes, over gRPC and as JSON', async () => {
    const { status, response } = await info(signed());
    assert.equal(status.code, 0, status.message);
    assert.match(String(response?.currentServerInfo?.version), /^v?\d+\.\d+/);
    const { text } = await ask(server.endpoints.privateApi, {
      method: 'POST',
      path: pathOf(method),
      headers: { ...signed().headers, 'content-type': 'application/json' },
      body: '{}',
    });
    assert.equal(JSON.parse(text).currentServerInfo.version, response?.currentServerInfo?.version);
  });

  for (const [who, options] of [
    ['nobody', () => ({ token: undefined })],
    ['GitLab, whose secret is another one', () => signed({ iss: 'gitlab-kas' }, gitlab.secret)],
    ['another issuer', () => signed({ iss: 'gitlab.example' })],
    ['a token for somebody else', () => signed({ iss: 'gitlab-kas', aud: 'gitlab' })],
    ['a token that is over', () => signed({ iss: 'gitlab-kas', exp: 1 })],
  ] as const) {
    test(`says nothing to ${who}`, async () => {
      assert.equal((await info(options())).status.code, 16);
    });
  }

  test('says to anybody that it is well', async () => {
    const path = '/grpc.health.v1.Health/Check';
    const health = await unary(node, path, HealthCheckRequestSchema, {}, HealthCheckResponseSchema, {
      token: undefined,
    });
    assert.equal(health.response?.status, Serving.SERVING);
  });

  test('says by reflection what it serves', async () => {
    const call = node.call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', signed());
    call.sendMessage(ServerReflectionRequestSchema, { messageRequest: { case: 'listServices', value: '' } });
    const { messageResponse: list } = await call.nextMessage(ServerReflectionResponseSchema);
    assert.ok(list.case === 'listServicesResponse');
    const names = list.value.service.map(({ name }) => name);
    for (const name of [ServerInfo.typeName, 'grpc.health.v1.Health']) assert.ok(names.includes(name), name);
    assert.ok(!names.includes('gitlab.agent.agent_tracker.rpc.AgentTracker'), 'that is for GitLab');
    call.halfClose();
  });
});
