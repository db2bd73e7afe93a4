// agent.listen.max_connection_age: the connection of an agent grows old in steps, and what runs on it is disturbed as late as possible.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { HttpResponseSchema } from '../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
} from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { grpcConnection } from '../support/grpc_client.ts';
import { open } from '../support/http_client.ts';
import { startServer } from '../support/server.ts';
import { eventually, within } from '../support/wait.ts';

/** Long enough for a busy machine to get everything going before a fifth of it is over. */
const AGE_S = 20;

const descriptor = {
  msg: {
    case: 'descriptor',
    value: {
      agentDescriptor: {
        services: [{ name: 'gitlab.agent.kubernetes_api.rpc.KubernetesApi', methods: [{ name: 'MakeRequest' }] }],
      },
    },
  },
} satisfies MessageInitShape<typeof ConnectRequestSchema>;

/** A part of the answer of a cluster, as an agent sends it. */
function answerPart(
  message: MessageInitShape<typeof HttpResponseSchema>['message'],
): MessageInitShape<typeof ConnectRequestSchema> {
  const data = toBinary(HttpResponseSchema, create(HttpResponseSchema, message && { message }));
  return { msg: { case: 'message', value: { data } } };
}

test('GOAWAY at a fifth, idle tunnels end with OK at three tenths, what runs is cut at seventeen twentieths', async () => {
  const server = await startServer({ config: { agent: { listen: { max_connection_age: `${AGE_S}s` } } } });
  try {
    const began = performance.now(); // not later than the server's own clock for this connection
    const ages = (): number => (performance.now() - began) / 1000 / AGE_S;
    const connection = await grpcConnection(server.endpoints.agent);
    const { session } = connection;
    const goaways: { age: number; code: number; lastStream: number | undefined; debug: string | undefined }[] = [];
    session.on('goaway', (code, lastStream, debug) =>
      goaways.push({ age: ages(), code, lastStream, debug: debug?.toString() }),
    );
    const cut = once(session, 'close').then(ages);
    const openTunnel = () => {
      const call = connection.call('/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', { gzip: true });
      call.sendMessage(ConnectRequestSchema, descriptor);
      return call;
    };

    const busy = openTunnel();
    const asked = open(server.endpoints.kubernetesApi, {
      path: '/k8s-proxy/watch',
      headers: { authorization: 'Bearer pat:1:alice-pat' },
    });
    await busy.nextMessage(ConnectResponseSchema);
    busy.sendMessage(ConnectRequestSchema, { msg: { case: 'header', value: {} } });
    busy.sendMessage(
      ConnectRequestSchema,
      answerPart({ case: 'header', value: { response: { statusCode: 200, status: '200 OK' } } }),
    );
    const watch = await asked;
    watch.on('error', () => {}); // it will be cut
    let text = '';
    watch.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const idle = openTunnel();

    assert.deepEqual(await within('the end of the idle tunnel', 30_000, idle.status), { code: 0, message: '' });
    assert.ok(ages() >= 0.3, `idle tunnels end at ${ages()}`);
    assert.deepEqual(
      goaways.map(({ code, lastStream, debug }) => [code, lastStream, debug]),
      [[0, idle.stream.id, 'max_age']],
    );
    assert.ok(goaways[0]!.age >= 0.18, `GOAWAY at ${goaways[0]!.age}`);

    busy.sendMessage(ConnectRequestSchema, answerPart({ case: 'data', value: { data: Buffer.from('still here') } }));
    await eventually('what the agent says after that', () => text === 'still here');
    const cutAt = await within('the end of the connection', 30_000, cut);
    assert.ok(cutAt >= 0.2 * 0.9 + 0.65, `cut at ${cutAt}`);
    await eventually('the end of the watch', () => watch.closed);
    assert.equal(watch.complete, false, 'half an answer must not look like a whole one');
  } finally {
    await server.stop();
  }
});
