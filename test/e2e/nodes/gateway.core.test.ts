// What a node does for another one that asks for its agent: the agent's frames go on as they came (docs/protocol/routing.md).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { GatewayKasResponseSchema } from '../../../src/gen/gitlab/agent/kas/kas_pb.ts';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
} from '../../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { type FakeGitLab, startGitLab } from '../../support/gitlab/gitlab.ts';
import { type GrpcConnection, type GrpcStream, grpcConnection } from '../../support/grpc_client.ts';
import { railsJwt } from '../../support/internal_api.ts';
import { type RunningServer, startServer } from '../../support/server.ts';
import { eventually, within } from '../../support/wait.ts';

type FromAgent = NonNullable<MessageInitShape<typeof ConnectRequestSchema>['msg']>;

const SERVICE = 'gitlab.agent.kubernetes_api.rpc.KubernetesApi';
const services = [{ name: SERVICE, methods: [{ name: 'MakeRequest' }] }];
/** What the agent answers, one message after the other; large enough to fill more than a window of HTTP/2. */
const answers: readonly FromAgent[] = [
  { case: 'header', value: { meta: {} } },
  { case: 'message', value: { data: Buffer.from('one') } },
  { case: 'message', value: { data: Buffer.alloc(1 << 20, 'two') } },
  { case: 'trailer', value: { meta: {} } },
];

const payloadOf = (msg: FromAgent) =>
  Buffer.from(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg })));

function frameOf(payload: Buffer, compressed: boolean): Buffer {
  const head = Buffer.from([Number(compressed), 0, 0, 0, 0]);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

describe('a node asks for an agent', () => {
  let gitlab: FakeGitLab;
  let server: RunningServer;
  let agent: GrpcConnection;
  let node: GrpcConnection;
  before(async () => {
    gitlab = await startGitLab();
    server = await startServer({ gitlab });
    agent = await grpcConnection(server.endpoints.agent);
    node = await grpcConnection(server.endpoints.privateApi);
  });
  after(async () => {
    agent.close();
    node.close();
    await server.stop();
    await gitlab.close();
  });

  function asks(headers: Record<string, string>): { call: GrpcStream; bytes: () => Buffer } {
    const secret = Buffer.from(readFileSync(server.places.privateApiSecretFile, 'utf8'), 'base64');
    const call = node.call(`/${SERVICE}/MakeRequest`, {
      token: undefined,
      headers: {
        authorization: `Bearer ${railsJwt(secret, { iss: 'gitlab-kas' })}`,
        'kas-hop-routing-agent-id': '1',
        'kas-hop-of-tomorrow': 'not for agents',
        'x-of-the-request': 'for agents',
        ...headers,
      },
    });
    const chunks: Buffer[] = [];
    call.stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    return { call, bytes: () => Buffer.concat(chunks) };
  }

  function tunnel(): GrpcStream {
    const call = agent.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', { gzip: true });
    call.sendMessage(ConnectRequestSchema, { msg: { case: 'descriptor', value: { agentDescriptor: { services } } } });
    return call;
  }

  for (const accepts of [true, false]) {
    test(`that reads ${accepts ? 'gzip: compressed messages reach it byte for byte' : 'no gzip: they are inflated for it'}`, async () => {
      const { call, bytes } = asks(accepts ? { 'grpc-accept-encoding': 'identity,gzip' } : {});
      assert.equal((await call.nextMessage(GatewayKasResponseSchema)).msg.case, 'noTunnel');
      const held = tunnel();
      assert.equal((await call.nextMessage(GatewayKasResponseSchema)).msg.case, 'tunnelReady');
      call.sendRaw(frameOf(Buffer.alloc(0), false)); // StartStreaming
      call.sendRaw(frameOf(Buffer.from('the request'), false));
      call.halfClose();

      const { msg: info } = await held.nextMessage(ConnectResponseSchema);
      assert.ok(info.case === 'requestInfo');
      assert.equal(info.value.methodName, `/${SERVICE}/MakeRequest`);
      const names = Object.keys(info.value.meta);
      assert.deepEqual(info.value.meta['x-of-the-request']?.value, ['for agents']);
      assert.deepEqual(
        names.filter((name) => name.startsWith('kas-hop-') || name === 'authorization'),
        [],
      );
      const { msg: request } = await held.nextMessage(ConnectResponseSchema);
      assert.ok(request.case === 'message');
      assert.equal(Buffer.from(request.value.data).toString(), 'the request');
      assert.equal((await held.nextMessage(ConnectResponseSchema)).msg.case, 'closeSend');

      // Stored rather than compressed: nobody who compresses again would do so.
      const sent = answers.map(payloadOf).map((payload) => ({ payload, zipped: gzipSync(payload, { level: 0 }) }));
      for (const { zipped } of sent) held.sendRaw(frameOf(zipped, true));
      held.halfClose();
      // The header is read by the node in the middle, and may be written anew.
      const [header, ...rest] = sent;
      assert.deepEqual(await call.next(), header?.payload);
      const expected = Buffer.concat(
        rest.map(({ payload, zipped }) => (accepts ? frameOf(zipped, true) : frameOf(payload, false))),
      );
      const end = () => bytes().subarray(-expected.length);
      await eventually('the answer', () => end().equals(expected));
      assert.equal((await call.headers)['grpc-encoding'], accepts ? 'gzip' : undefined);
      assert.deepEqual(await within('the end', 10_000, call.status), { code: 0, message: '' });
      assert.equal((await within('the end of the tunnel', 10_000, held.status)).code, 0);
    });
  }
});
