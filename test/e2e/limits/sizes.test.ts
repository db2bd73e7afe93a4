// What one connection and one message may have: streams, header lines, bytes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Health } from '../../../src/gen/grpc/health/v1/health_pb.ts';
import type { Cluster } from '../../support/cluster.ts';
import { startEchoCluster } from '../../support/echo_cluster.ts';
import { envelope, grpcConnection } from '../../support/grpc_client.ts';
import { Flag, FrameType, frame, headerBlock, PREFACE, rstStream, settings } from '../../support/hostile/frames.ts';
import { ask } from '../../support/http_client.ts';
import { rawConnection } from '../../support/http1.ts';
import { pathOf, railsJwt } from '../../support/internal_api.ts';
import { limitCount, limitIsTold, sampleValue } from '../../support/limit_count.ts';
import { eventually, within } from '../../support/wait.ts';

const connectPath = '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect';
const REFUSED_STREAM = 7;

describe('sizes', () => {
  let cluster: Cluster;
  before(async () => {
    const limits = { header_bytes: '16KiB', message_bytes: '256KiB', streams_per_connection: 50 };
    const paths = { '/watch': (_: unknown, response: { write(text: string): void }) => response.write('{}\n') };
    cluster = await startEchoCluster({ paths, config: { server: { limits } } });
  });
  after(() => cluster.stop());

  test('header lines', async () => {
    const ask = async (bytes: number) => {
      const headers = { 'x-big': 'x'.repeat(bytes) };
      return (await cluster.ask({ path: '/x', token: 'ci:1:job-agent', headers })).status;
    };
    assert.equal(await ask(15 << 10), 200);
    assert.equal(await ask(24 << 10), 431);
    assert.equal(await limitCount(cluster.server, 'header_bytes', 'kubernetes_api'), 1);
    await limitIsTold(cluster.server, 'header_bytes', 'kubernetes_api', 'server.limits.header_bytes');
  });

  test('a header list of HTTP/2, in one frame or in many', async () => {
    const whole = Flag.EndStream | Flag.EndHeaders;
    const request = { ':method': 'GET', ':scheme': 'http', ':authority': 'k', ':path': '/k8s-proxy/x' };
    const list = headerBlock({
      ...request,
      ...Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, 'y'])),
    });
    const one = await rawConnection(cluster.server.endpoints.kubernetesApi);
    one.write(Buffer.concat([PREFACE, settings(), frame(FrameType.Headers, whole, 1, list)]));
    await eventually('the metric', async () => {
      return (await limitCount(cluster.server, 'header_bytes', 'kubernetes_api')) === 2;
    });
    const block = headerBlock({ ...request, 'x-big': 'x'.repeat(20_000) });
    const many = await rawConnection(cluster.server.endpoints.kubernetesApi);
    many.write(
      Buffer.concat([
        PREFACE,
        settings(),
        frame(FrameType.Headers, Flag.EndStream, 1, block.subarray(0, 16_000)),
        frame(FrameType.Continuation, Flag.EndHeaders, 1, block.subarray(16_000)),
      ]),
    );
    await eventually('the metric', async () => {
      return (await limitCount(cluster.server, 'header_bytes', 'kubernetes_api')) === 3;
    });
    one.close();
    many.close();
  });

  test('a message, as it comes and when it is inflated', async () => {
    const connection = await grpcConnection(cluster.server.endpoints.agent);
    for (const [gzip, bytes] of [
      [false, Buffer.alloc((256 << 10) + 1)],
      [true, gzipSync(Buffer.alloc((256 << 10) + 1))],
    ] as const) {
      const call = connection.call(connectPath, { token: 'agent-token-2', gzip });
      call.send(Buffer.from([0x0a, 2, 0x0a, 0])); // a tunnel that serves nothing
      const prefix = Buffer.alloc(5);
      prefix[0] = gzip ? 1 : 0;
      prefix.writeUInt32BE(bytes.length, 1);
      call.sendRaw(Buffer.concat([prefix, bytes]));
      assert.equal((await within('the status', 5000, call.status)).code, 8);
    }
    assert.equal(await limitCount(cluster.server, 'message_bytes', 'agent_api'), 2);
    await limitIsTold(cluster.server, 'message_bytes', 'agent_api', 'server.limits.message_bytes');
    connection.close();
  });

  test('what is kept of an agent’s call, before anybody knows who it is and afterwards', async () => {
    const stranger = await grpcConnection(cluster.server.endpoints.agent);
    const agent = await grpcConnection(cluster.server.endpoints.agent);
    const registered = agent.call('/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register', {
      token: 'agent-token-2',
    });
    registered.send(Buffer.from([0x0a, 0]));
    registered.halfClose();
    assert.equal((await registered.status).code, 0);
    const before = await limitCount(cluster.server, 'request_bytes', 'agent_api');
    const large = Buffer.alloc((128 << 10) + 1);
    const reconcilePath = '/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects';
    for (const [connection, path, token, max] of [
      [stranger, reconcilePath, 'nobody', 32 << 10],
      [agent, reconcilePath, 'agent-token-2', 128 << 10],
      [agent, connectPath, 'agent-token-2', 128 << 10],
    ] as const) {
      const call = connection.call(path, { token });
      call.send(large);
      const { code, message } = await within('the status', 5000, call.status);
      assert.deepEqual([code, message], [8, `grpc: received message larger than max (${large.length} vs. ${max})`]);
    }
    assert.equal(await limitCount(cluster.server, 'request_bytes', 'agent_api'), before + 3);
    await limitIsTold(cluster.server, 'request_bytes', 'agent_api', 'server.limits.request_bytes');
    stranger.close();
    agent.close();
  });

  test('a message of GitLab, as it comes and when it is inflated', async () => {
    const connection = await grpcConnection(cluster.server.endpoints.api);
    for (const gzip of [false, true]) {
      const call = connection.call(pathOf(Health.method.check), { token: undefined, gzip });
      call.send(Buffer.alloc((256 << 10) + 1));
      call.halfClose();
      assert.equal((await within('the status', 5000, call.status)).code, 8);
    }
    assert.equal(await limitCount(cluster.server, 'message_bytes', 'api'), 2);
    connection.close();
  });

  for (const [protocol, contentType, encodingHeader] of [
    ['gRPC-Web', 'application/grpc-web+proto', 'grpc-encoding'],
    ['Connect', 'application/proto', 'content-encoding'],
    ['Connect, as a stream', 'application/connect+proto', 'connect-content-encoding'],
  ] as const) {
    test(`a message of GitLab in ${protocol}, as it comes and when it is inflated`, async () => {
      const { server, gitlab } = cluster;
      assert.ok(gitlab);
      const before = await limitCount(server, 'message_bytes', 'api');
      const streams = contentType === 'application/connect+proto';
      const path = `/grpc.health.v1.Health/${streams ? 'Watch' : 'Check'}`;
      const large = Buffer.alloc((256 << 10) + 1);
      for (const gzip of [false, true]) {
        const headers = {
          authorization: `Bearer ${railsJwt(gitlab.secret)}`,
          'content-type': contentType,
          ...(gzip && { [encodingHeader]: 'gzip' }),
        };
        const unary = gzip ? gzipSync(large) : large;
        const body = contentType === 'application/proto' ? unary : envelope(large, gzip);
        const answer = await ask(server.endpoints.api, { method: 'POST', path, headers, body });
        const said = `${answer.headers['grpc-status']} ${answer.text}`;
        assert.match(said, /^8 |grpc-status: 8|resource_exhausted/, `gzip: ${gzip}: ${answer.status} ${said}`);
      }
      assert.equal(await limitCount(server, 'message_bytes', 'api'), before + 2);
      const type = streams ? 'server_stream' : 'unary';
      const refused = `grpc_server_handled_total{grpc_type="${type}",grpc_service="grpc.health.v1.Health",grpc_method="${streams ? 'Watch' : 'Check'}",grpc_code="ResourceExhausted"}`;
      assert.ok((await sampleValue(server, refused)) >= 2);
    });
  }

  test('streams, also of a client that has not read our SETTINGS', async () => {
    const block = headerBlock({
      ':method': 'GET',
      ':scheme': 'http',
      ':authority': 'k',
      ':path': '/k8s-proxy/watch',
      authorization: 'Bearer ci:1:job-agent',
    });
    const raw = await rawConnection(cluster.server.endpoints.kubernetesApi);
    let received = '';
    raw.socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    const whole = Flag.EndStream | Flag.EndHeaders;
    const streams = Array.from({ length: 60 }, (_, i) => frame(FrameType.Headers, whole, 2 * i + 1, block));
    raw.write(Buffer.concat([PREFACE, settings(), ...streams]));
    // RST_STREAM with that code, of streams 101 to 119.
    const refusals = () =>
      Array.from({ length: 60 }, (_, i) => rstStream(2 * i + 1, REFUSED_STREAM).toString('latin1')).filter((reset) =>
        received.includes(reset),
      );
    await eventually('ten refusals', () => refusals().length === 10);
    await eventually('the metric', async () => {
      return (await limitCount(cluster.server, 'streams_per_connection', 'kubernetes_api')) >= 1;
    });
    const key = 'server.limits.streams_per_connection';
    await limitIsTold(cluster.server, 'streams_per_connection', 'kubernetes_api', key);
    raw.close();
    assert.equal((await cluster.ask({ path: '/x', token: 'ci:1:job-agent' })).status, 200);
  });
});
