// The running server: what decent clients send, damaged, to each listener. It lives, serves others, and keeps nothing.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { RegisterRequestSchema } from '../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { ConnectRequestSchema } from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { clientFrame } from '../integration/net/frame_client.ts';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { envelope } from '../support/grpc_client.ts';
import {
  FrameType,
  frame,
  headerBlock,
  INITIAL_WINDOW_SIZE,
  PREFACE,
  settings,
  windowUpdate,
} from '../support/hostile/frames.ts';
import { rawConnection } from '../support/http1.ts';
import { railsJwt } from '../support/internal_api.ts';
import type { Endpoints } from '../support/kas_config.ts';
import { readiness } from '../support/server.ts';
import { delay, eventually, within } from '../support/wait.ts';
import { fuzz } from './lib/fuzz.ts';
import { cut, cuts, damaged, damages } from './lib/inputs.ts';

let cluster: Cluster;
let residentBytes = 0;
before(async () => {
  const paths = { '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine') };
  cluster = await startCluster({ gitlab: {}, backend: await startBackend({ paths }) });
  for (let i = 0; i < 100; i++) await cluster.ask({ path: '/fine' });
  residentBytes = cluster.server.residentBytes();
});
after(async () => {
  const defects = cluster.server.log.filter(({ msg }) => /defect|Unknown gRPC error|uncaught/i.test(msg));
  await cluster.stop();
  assert.deepEqual(defects, []);
});

function call(stream: number, path: string, more: Readonly<Record<string, string>>, message: Uint8Array): Buffer {
  const head = headerBlock({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'k',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  });
  return Buffer.concat([
    frame(FrameType.Headers, 4, stream, head),
    frame(FrameType.Data, 1, stream, envelope(message, more['grpc-encoding'] === 'gzip')),
  ]);
}

/** An agent's connection: it registers and opens a tunnel. */
function agentStream(): Buffer {
  const register = toBinary(RegisterRequestSchema, create(RegisterRequestSchema, { agentMeta: {}, podId: 5n }));
  const agentDescriptor = { services: [{ name: 'a.B', methods: [{ name: 'C' }] }] };
  const msg = { case: 'descriptor' as const, value: { agentDescriptor } };
  const descriptor = toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg }));
  const token = { authorization: 'Bearer agent-token-2', 'grpc-encoding': 'gzip' };
  return Buffer.concat([
    PREFACE,
    settings({ [INITIAL_WINDOW_SIZE]: 1 << 20 }),
    windowUpdate(0, 1 << 20),
    call(1, '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register', token, register),
    call(3, '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect', token, descriptor),
    frame(FrameType.Ping, 0, 0, Buffer.alloc(8)),
  ]);
}

const upgrade =
  'GET / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ws-tunnel\r\n\r\n';
const alice = 'Host: k\r\nAuthorization: Bearer pat:1:alice-pat\r\n';
const infoPath = '/gitlab.agent.server_info.rpc.ServerInfo/GetServerInfo';
const bearer = () => `Bearer ${railsJwt(cluster.gitlab?.secret ?? Buffer.alloc(0))}`;

/** By listener: what is sent, made anew because of tokens. */
const streams: readonly (readonly [name: string, listener: keyof Endpoints, bytes: () => Buffer])[] = [
  ['an agent', 'agent', agentStream],
  [
    'an agent in a WebSocket',
    'agent',
    () =>
      Buffer.concat([Buffer.from(upgrade), ...cut(agentStream(), [0.2, 0.5, 0.7]).map((part) => clientFrame(2, part))]),
  ],
  [
    'a client of a cluster',
    'kubernetesApi',
    () =>
      Buffer.from(
        `GET /k8s-proxy/fine?a=b HTTP/1.1\r\n${alice}\r\n` +
          `POST /k8s-proxy/fine HTTP/1.1\r\n${alice}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n` +
          `GET /k8s-proxy/fine HTTP/1.1\r\n${alice}Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`,
      ),
  ],
  [
    'a client of a cluster, over HTTP/2',
    'kubernetesApi',
    () => {
      const fields = { ':method': 'GET', ':scheme': 'http', ':path': '/k8s-proxy/fine', ':authority': 'k' };
      const head = headerBlock({ ...fields, authorization: 'Bearer pat:1:alice-pat' });
      return Buffer.concat([
        PREFACE,
        settings(),
        frame(FrameType.Headers, 5, 1, head),
        frame(FrameType.Headers, 5, 3, head),
      ]);
    },
  ],
  [
    'GitLab',
    'api',
    () => Buffer.concat([PREFACE, settings(), call(1, infoPath, { authorization: bearer() }, Buffer.alloc(0))]),
  ],
  [
    'curl on the internal API',
    'api',
    () =>
      Buffer.from(
        `POST ${infoPath} HTTP/1.1\r\nHost: k\r\nAuthorization: ${bearer()}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
      ),
  ],
  [
    'another node',
    'privateApi',
    () => {
      const more = { authorization: 'Bearer x.y.z', 'agent-id': '1' };
      const path = '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';
      return Buffer.concat([PREFACE, settings(), call(1, path, more, Buffer.from('0a020a00', 'hex'))]);
    },
  ],
  ['Prometheus', 'observability', () => Buffer.from('GET /metrics HTTP/1.1\r\nHost: k\r\nAccept: text/plain\r\n\r\n')],
];

for (const [name, listener, bytes] of streams)
  fuzz(`${name}, damaged, harms nobody`, fc.tuple(damages(6), cuts, fc.boolean()), async ([damage, at, reset]) => {
    const raw = await rawConnection(cluster.server.endpoints[listener]);
    for (const piece of cut(damaged(bytes(), damage), at)) {
      raw.write(piece);
      if (at.length > 4) await delay(0);
    }
    await Promise.race([raw.closed, delay(10)]);
    if (reset) raw.reset();
    else raw.close();
    assert.equal(await within('a probe', 10_000, readiness(cluster.server.endpoints)), 200);
  });

fuzz('everybody else is served, and memory is bounded', fc.constant(undefined), async () => {
  assert.equal((await within('a request', 20_000, cluster.ask({ path: '/fine' }))).text, 'fine');
  await eventually('memory', () => cluster.server.residentBytes() - residentBytes < 200 << 20, 20_000);
});
