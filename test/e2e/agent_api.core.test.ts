// 8150 as an agent sees it: authentication against every age of Rails, configuration, registration, statuses.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ConfigurationRequestSchema } from '../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import {
  RegisterRequestSchema,
  RegisterResponseSchema,
  UnregisterRequestSchema,
  UnregisterResponseSchema,
} from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { AgentDescriptorSchema } from '../../src/gen/gitlab/agent/reverse_tunnel/info/info_pb.ts';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
} from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import type { Era } from '../support/gitlab/answers.ts';
import { type FakeGitLab, startGitLab } from '../support/gitlab/gitlab.ts';
import { type GrpcConnection, grpcConnection, unary } from '../support/grpc_client.ts';
import { ask } from '../support/http_client.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { within } from '../support/wait.ts';

const registrar = '/gitlab.agent.agent_registrar.rpc.AgentRegistrar';
const configuration = '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';
const tunnel = '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect';

const register = (connection: GrpcConnection, options: { token?: string | undefined; gzip?: boolean } = {}) =>
  unary(
    connection,
    `${registrar}/Register`,
    RegisterRequestSchema,
    { agentMeta: { version: 'v19.3.0', podName: 'p' }, podId: 5n },
    RegisterResponseSchema,
    options,
  );

for (const era of ['2023', 'middle', 'today'] as const satisfies readonly Era[])
  test(`an agent is known to the Rails of ${era}`, async () => {
    const gitlab = await startGitLab({ era });
    const server = await startServer({ gitlab });
    const connection = await grpcConnection(server.endpoints.agent);
    try {
      assert.deepEqual((await register(connection)).status, { code: 0, message: '' });
      assert.equal((await register(connection, { token: 'agent-token-2' })).status.code, 0);
      assert.equal((await register(connection, { token: 'unknown-token' })).status.code, 16);
      assert.deepEqual(gitlab.problems, []);
      if (era === '2023') {
        const tried = gitlab.requests.filter((r) => r.path.endsWith('/agents/agentk/agent_info'));
        assert.equal(tried.length, 1, 'that the new path is missing is remembered');
      }
    } finally {
      connection.close();
      await server.stop();
      await gitlab.close();
    }
  });

describe('the agent API', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let connection: GrpcConnection;
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab, config: { agent: { info_cache_error_ttl: '1s' } } });
    connection = await grpcConnection(server.endpoints.agent);
  });
  after(async () => {
    connection.close();
    await server.stop();
    await gitlab.close();
  });

  test('Register and Unregister answer, compressed or not', async () => {
    assert.deepEqual((await register(connection)).status, { code: 0, message: '' });
    assert.deepEqual((await register(connection, { gzip: true })).status, { code: 0, message: '' });
    const bye = await unary(
      connection,
      `${registrar}/Unregister`,
      UnregisterRequestSchema,
      { agentMeta: {}, podId: 5n },
      UnregisterResponseSchema,
    );
    assert.equal(bye.status.code, 0);
    assert.notEqual(bye.response, undefined);
  });

  test('GetConfiguration stays open, and says nothing, while the repository cannot be read', async () => {
    const call = connection.call(configuration, { gzip: true });
    call.sendMessage(ConfigurationRequestSchema, { agentMeta: { version: 'v19.3.0' } });
    call.halfClose();
    await server.waitForLog('of the Gitaly that is not there', (l) => l.msg === 'Config: repository poll failed');
    await assert.rejects(within('a message', 500, call.next()), /a message took more than/);
    call.cancel();
  });

  test('many tunnels of one agent ask GitLab once', async () => {
    gitlab.agents.set('agent-token-7', { id: 7, name: 'agent-7', projectId: 1007 });
    const before = gitlab.requestsTo('/agent_info').length;
    const calls = Array.from({ length: 20 }, () => {
      const call = connection.call(tunnel, { token: 'agent-token-7', gzip: true });
      call.sendMessage(ConnectRequestSchema, {
        msg: {
          case: 'descriptor',
          value: { agentDescriptor: { services: [{ name: 's', methods: [{ name: 'M' }] }] } },
        },
      });
      return call;
    });
    await register(connection, { token: 'agent-token-7' });
    assert.equal(gitlab.requestsTo('/agent_info').length, before + 1);
    for (const call of calls) call.cancel();
  });

  test('no token, or a scheme that is none, is unauthenticated', async () => {
    assert.equal((await register(connection, { token: undefined })).status.code, 16);
  });

  test('GitLab’s refusals become statuses', async () => {
    for (const [status, code, message] of [
      [401, 16, 'unauthenticated'],
      [403, 7, 'forbidden'],
      [500, 14, 'unavailable'],
    ] as const) {
      const token = `refused-${status}`;
      const stop = gitlab.fail('/agent_info', { status }, 1);
      assert.deepEqual((await register(connection, { token })).status, { code, message });
      stop();
    }
  });

  for (const [what, failure] of [
    ['cuts the connection', { cut: 'before' }],
    ['cuts the answer', { status: 200, cut: 'middle', body: '{"agent_id":1,"project_id":1}' }],
    ['answers HTML', { status: 200, contentType: 'text/html', body: '<html>' }],
    ['answers with nonsense', { status: 200, body: '{"agent_id":' }],
    ['redirects', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }],
    ['answers with 64 MiB', { status: 200, bodyBytes: 64 << 20 }],
  ] as const)
    test(`a GitLab that ${what} makes the agent wait, nothing else`, async () => {
      const stop = gitlab.fail('/agent_info', failure);
      const answer = await within('the answer', 15_000, register(connection, { token: `agent-token-1-${what}` }));
      stop();
      assert.deepEqual(answer.status, { code: 14, message: 'unavailable' });
      assert.equal((await register(connection)).status.code, 0);
    });

  test('unknown services and methods are unimplemented, whatever the token', async () => {
    for (const [path, text] of [
      ['/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize', 'unknown service gitlab.agent.gitops.rpc.Gitops'],
      [`${registrar}/Nothing`, 'unknown method Nothing for service gitlab.agent.agent_registrar.rpc.AgentRegistrar'],
      ['/nonsense', 'malformed method name: "/nonsense"'],
    ] as const) {
      const call = connection.call(path, { token: undefined });
      call.halfClose();
      assert.deepEqual(await call.status, { code: 12, message: text });
    }
  });

  test('a tunnel of a moved package, whose descriptor says more than we know, is taken and used', async () => {
    const call = connection.call('/gitlab.agent.somewhere.else.rpc.ReverseTunnel/Connect');
    const services = [
      { name: 'gitlab.agent.of_tomorrow.rpc.Crystal', methods: [{ name: 'Gaze' }] },
      {
        name: 'gitlab.agent.kubernetes_api.rpc.KubernetesApi',
        methods: [{ name: 'WatchGraph' }, { name: 'MakeRequest' }],
      },
    ];
    const known = toBinary(AgentDescriptorSchema, create(AgentDescriptorSchema, { services }));
    // Fields 15, that nobody knows: in what the agent says of itself, and beside it.
    const agentDescriptor = Buffer.concat([
      known,
      new BinaryWriter().tag(15, WireType.LengthDelimited).string('new').finish(),
    ]);
    const descriptor = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(agentDescriptor);
    descriptor.tag(15, WireType.Varint).uint32(1);
    call.send(new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(descriptor.finish()).finish());
    const answer = ask(server.endpoints.kubernetesApi, {
      path: '/k8s-proxy/x',
      headers: { authorization: 'Bearer ci:1:job-agent' },
    });
    const { msg } = await call.nextMessage(ConnectResponseSchema);
    assert.equal(
      msg.case === 'requestInfo' && msg.value.methodName,
      '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest',
    );
    call.cancel();
    assert.equal((await answer).status, 502);
  });

  test('what is no gRPC gets an HTTP status', async () => {
    const get = connection.session.request({ ':method': 'GET', ':path': tunnel });
    const status = new Promise((resolve) => get.on('response', (headers) => resolve(headers[':status'])));
    get.on('error', () => {}).resume();
    assert.equal(await status, 405);
    const json = connection.call(tunnel, { headers: { 'content-type': 'application/json' } });
    assert.equal((await json.headers)[':status'], 415);
    json.cancel();
  });
});

test('connections per token and minute are limited, tunnels of one connection are not', async () => {
  const gitlab = await startGitLab();
  const server = await startServer({ gitlab, config: { agent: { listen: { connections_per_token_per_minute: 3 } } } });
  const codes: number[] = [];
  const connections: GrpcConnection[] = [];
  try {
    const first = await grpcConnection(server.endpoints.agent);
    connections.push(first);
    for (let i = 0; i < 10; i += 1) assert.equal((await register(first)).status.code, 0);
    for (let i = 0; i < 5; i += 1) {
      const connection = await grpcConnection(server.endpoints.agent);
      connections.push(connection);
      codes.push((await register(connection)).status.code);
    }
    assert.ok(codes.includes(8), `codes ${codes.join(' ')}`);
    assert.equal((await register(first, { token: 'agent-token-2' })).status.code, 0, 'another token is not affected');
  } finally {
    for (const connection of connections) connection.close();
    await server.stop();
    await gitlab.close();
  }
});
