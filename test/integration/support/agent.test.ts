// What the recordings do not show of an agent: how many tunnels it keeps, when it comes back, what it makes of a kas that
// breaks the rules.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../../src/gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { RegisterRequestSchema } from '../../../src/gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import {
  HttpRequestSchema,
  type HttpResponse,
  HttpResponseSchema,
} from '../../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
} from '../../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { FakeClock } from '../../../src/runtime/fake_clock.ts';
import { createAgent, type TestAgent } from '../../support/agent/agent.ts';
import type { AgentOptions } from '../../support/agent/options.ts';
import { openRawTunnel } from '../../support/agent/raw_tunnel.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { startKubernetes } from '../../support/kubernetes/kubernetes.ts';
import { eventually } from '../../support/wait.ts';
import { PlayedKas, type PlayedStream } from './played_kas.ts';

const CONNECT = 'ReverseTunnel/Connect';
const NOWHERE = 'http://127.0.0.1:1';

async function start(
  t: TestContext,
  options: Partial<AgentOptions> = {},
): Promise<{ kas: PlayedKas; agent: TestAgent }> {
  const kas = await PlayedKas.start();
  const agent = createAgent({
    kasAddress: `grpc://${kas.native}`,
    token: 'a-token',
    cluster: { server: NOWHERE },
    ...options,
  });
  t.after(async () => {
    await agent.close();
    await kas.close();
  });
  return { kas, agent };
}

function respond(stream: PlayedStream, message: MessageInitShape<typeof ConnectResponseSchema>['msg']): void {
  if (!stream.stream.headersSent) stream.respond();
  stream.send(toBinary(ConnectResponseSchema, create(ConnectResponseSchema, { msg: message! })));
}

function open(stream: PlayedStream): void {
  respond(stream, {
    case: 'requestInfo',
    value: { methodName: '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest' },
  });
}

function request(stream: PlayedStream, message: MessageInitShape<typeof HttpRequestSchema>['message']): void {
  const data = toBinary(HttpRequestSchema, create(HttpRequestSchema, { message: message! }));
  respond(stream, { case: 'message', value: { data } });
}

function get(stream: PlayedStream, urlPath: string, header: Record<string, string[]> = {}): void {
  open(stream);
  const values = Object.fromEntries(Object.entries(header).map(([name, value]) => [name, { value }]));
  request(stream, {
    case: 'header',
    value: { request: { method: 'GET', urlPath, header: values }, contentLength: 0n },
  });
  request(stream, { case: 'trailer', value: {} });
  respond(stream, { case: 'closeSend', value: {} });
}

/** All that the agent sends until it half-closes, the descriptor left out. */
async function answer(stream: PlayedStream): Promise<{ http: HttpResponse['message'][]; error: string | undefined }> {
  const http: HttpResponse['message'][] = [];
  let error: string | undefined;
  for (let received = await stream.next(); received !== 'end'; received = await stream.next()) {
    const { msg } = fromBinary(ConnectRequestSchema, received.message);
    if (msg.case === 'message') http.push(fromBinary(HttpResponseSchema, msg.value.data).message);
    if (msg.case === 'error') error = `${msg.value.status?.code} ${msg.value.status?.message}`;
  }
  return { http, error };
}

const OK = { 'grpc-status': '0', 'grpc-message': '' };

test('registers with the version of its cluster', async (t) => {
  const kubernetes = await startKubernetes();
  t.after(() => kubernetes.close());
  const { kas } = await start(t, { cluster: { server: kubernetes.url }, podName: 'a-pod' });
  const call = await kas.call('AgentRegistrar/Register');
  const received = await call.next();
  assert.ok(received !== 'end');
  const { agentMeta, podId } = fromBinary(RegisterRequestSchema, received.message);
  assert.equal(agentMeta?.podName, 'a-pod');
  assert.equal(agentMeta?.kubernetesVersion?.gitVersion, 'v1.32.4');
  assert.ok(podId > 0n);
});

test('keeps its configuration stream, and says what it has', async (t) => {
  const { kas, agent } = await start(t);
  const first = await kas.call('AgentConfiguration/GetConfiguration');
  first.respond();
  first.send(
    toBinary(
      ConfigurationResponseSchema,
      create(ConfigurationResponseSchema, { commitId: 'abc', configuration: { agentId: 7n } }),
    ),
  );
  await eventually('the configuration', () => agent.configurations.length === 1);
  assert.equal(agent.configurations[0]?.configuration?.agentId, 7n);
  first.end(OK);
  const second = await (await kas.call('AgentConfiguration/GetConfiguration', 2)).next();
  assert.ok(second !== 'end');
  const { commitId, skipRegister } = fromBinary(ConfigurationRequestSchema, second.message);
  assert.deepEqual({ commitId, skipRegister }, { commitId: 'abc', skipRegister: true });
});

test('keeps two idle tunnels, and opens ten more when there is one left', async (t) => {
  const { kas, agent } = await start(t);
  const tunnel = await kas.call(CONNECT, 2);
  await eventually('two tunnels', () => agent.tunnels.open === 2);
  open(tunnel);
  await kas.call(CONNECT, 12);
  assert.equal(agent.tunnels.active, 1);
  assert.equal(agent.tunnels.idle, 11);
});

test('lets go of idle tunnels after a while', async (t) => {
  const clock = new FakeClock();
  const { kas, agent } = await start(t, { clock });
  open(await kas.call(CONNECT));
  await kas.call(CONNECT, 12);
  const ended = kas.streams.filter((stream) => stream.path.endsWith(CONNECT)).slice(2);
  for (const stream of ended.slice(0, 5)) stream.end(OK);
  await kas.call(CONNECT, 17); // too early: they are opened again
  clock.advance(60_001);
  for (const stream of ended.slice(5)) stream.end(OK);
  await eventually('fewer tunnels', () => agent.tunnels.idle === 6);
});

test('opens a tunnel again at once when it ended well, later when it did not', async (t) => {
  const clock = new FakeClock();
  const { kas, agent } = await start(t, { clock });
  (await kas.call(CONNECT)).end(OK);
  (await kas.call(CONNECT, 3)).end({ 'grpc-status': '1', 'grpc-message': 'canceled' });
  (await kas.call(CONNECT, 4)).end({ 'grpc-status': '14', 'grpc-message': 'a%20b' });
  await eventually('the failure', () => agent.failures.length === 2);
  assert.deepEqual(agent.failures[1], { code: 14, message: 'a b' });
  clock.advance(999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(kas.streams.filter((stream) => stream.path.endsWith(CONNECT)).length, 4);
  clock.advance(201);
  await kas.call(CONNECT, 5);
});

const violations: [name: string, play: (stream: PlayedStream) => void, text: string][] = [
  [
    'message first',
    (s) => respond(s, { case: 'message', value: {} }),
    'transition from -2 to 2 is not allowed. Allowed: [1 -1]',
  ],
  ['request_info twice', (s) => [open(s), open(s)], 'transition from 1 to 1 is not allowed. Allowed: [2 3 -1]'],
  [
    'message after close_send',
    (s) => [open(s), respond(s, { case: 'closeSend', value: {} }), respond(s, { case: 'message', value: {} })],
    'transition from 3 to 2 is not allowed. Allowed: [-1]',
  ],
  [
    'nothing set',
    (s) => [s.respond(), s.send(Buffer.alloc(0))],
    'invalid server response: invalid ConnectResponse.Msg: value is required',
  ],
];
for (const [name, play, message] of violations) {
  test(`refuses what kas may not send: ${name}`, async (t) => {
    const { kas, agent } = await start(t);
    const stream = await kas.call(CONNECT);
    play(stream);
    await eventually('the failure', () => agent.failures.length === 1);
    assert.deepEqual(agent.failures[0], { code: 3, message });
    await eventually('the reset', () => stream.stream.rstCode === 8);
  });
}

const badRequests: [name: string, play: (stream: PlayedStream) => void, error: string][] = [
  [
    'no header',
    (s) => request(s, { case: 'trailer', value: {} }),
    '3 transition from -2 to 3 is not allowed. Allowed: [1]',
  ],
  [
    'end of stream at once',
    (s) => respond(s, { case: 'closeSend', value: {} }),
    '3 transition from -2 to -1 is not allowed. Allowed: [1]',
  ],
  [
    'nothing set',
    (s) => respond(s, { case: 'message', value: {} }),
    '3 invalid HttpRequest.Message: value is required',
  ],
];
for (const [name, play, error] of badRequests) {
  test(`answers a bad HTTP request with an error: ${name}`, async (t) => {
    const { kas } = await start(t);
    const stream = await kas.call(CONNECT);
    open(stream);
    play(stream);
    assert.deepEqual(await answer(stream), { http: [], error });
  });
}

test('a method that it does not have', async (t) => {
  const { kas } = await start(t);
  const stream = await kas.call(CONNECT);
  respond(stream, { case: 'requestInfo', value: { methodName: '/a.b/C' } });
  assert.deepEqual(await answer(stream), { http: [], error: '12 unknown service a.b' });
});

test('data that nobody announced becomes the status after the response', async (t) => {
  const kubernetes = await startKubernetes();
  t.after(() => kubernetes.close());
  const { kas } = await start(t, { cluster: { server: kubernetes.url } });
  const stream = await kas.call(CONNECT);
  open(stream);
  request(stream, { case: 'header', value: { request: { method: 'GET', urlPath: '/version' }, contentLength: 0n } });
  request(stream, { case: 'data', value: { data: Buffer.from('x') } });
  const { http, error } = await answer(stream);
  assert.deepEqual(
    http.map((message) => message.case),
    ['header', 'data', 'trailer'],
  );
  assert.equal(error, '13 unexpected HttpRequest_Data message received');
});

test('comes back after its connection was cut, and after GOAWAY', async (t) => {
  const { kas, agent } = await start(t);
  await kas.call(CONNECT, 2);
  agent.cut();
  await kas.call(CONNECT, 4);
  const [session] = kas.sessions;
  const busy = await kas.call(CONNECT, 4);
  open(busy);
  session?.close();
  await eventually('a second connection', () => kas.sessions.size === 2);
  assert.equal(session?.destroyed, false, 'the stream in flight keeps the old connection');
  for (const played of kas.streams) if (played.stream.session === session && !played.stream.destroyed) played.end(OK);
  await eventually('the old connection to be gone', () => !kas.sessions.has(session!));
});

test('unpacks what only it asked to be packed', async (t) => {
  const server = createServer((incoming, response) => {
    const body = gzipSync('unpacked');
    response.writeHead(200, {
      'Content-Encoding': 'gzip',
      'Content-Length': body.length,
      'X-Asked': `${incoming.headers['accept-encoding']}`,
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { kas } = await start(t, { cluster: { server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` } });
  const own = await kas.call(CONNECT);
  get(own, '/');
  const unpacked = await answer(own);
  assert.equal(bodyOf(unpacked.http).toString(), 'unpacked');
  assert.deepEqual(
    [headerOf(unpacked.http, 'Content-Encoding'), headerOf(unpacked.http, 'Content-Length')],
    [undefined, undefined],
  );
  assert.deepEqual(headerOf(unpacked.http, 'X-Asked'), ['gzip']);
  const callers = await kas.call(CONNECT, 2);
  get(callers, '/', { 'Accept-Encoding': ['gzip'] });
  const packed = await answer(callers);
  assert.deepEqual(bodyOf(packed.http), gzipSync('unpacked'));
  assert.deepEqual(headerOf(packed.http, 'Content-Encoding'), ['gzip']);
});

test('authenticates at its cluster with a token or a client certificate, over TLS', async (t) => {
  const tls = makeCertificate();
  const client = makeCertificate('ec', 'an-agent');
  const kubernetes = await startKubernetes({ tls, clientCa: client.cert, token: 'kube-token' });
  t.after(() => kubernetes.close());
  const common = { server: kubernetes.url, ca: tls.cert };
  const identities: [credentials: object, status: number][] = [
    [{}, 401],
    [{ authorization: () => 'Bearer kube-token' }, 200],
    [{ clientCert: client.cert, clientKey: client.key }, 200],
  ];
  for (const [credentials, status] of identities) {
    const { kas } = await start(t, { cluster: { ...common, ...credentials } });
    const stream = await kas.call(CONNECT);
    get(stream, '/version');
    const [header] = (await answer(stream)).http;
    assert.equal(header?.case === 'header' && header.value.response?.statusCode, status);
  }
});

test('big bodies pass in both directions, in pieces of 32 KiB at most', async (t) => {
  const kubernetes = await startKubernetes();
  t.after(() => kubernetes.close());
  const { kas } = await start(t, { cluster: { server: kubernetes.url } });
  const up = await kas.call(CONNECT);
  open(up);
  request(up, { case: 'header', value: { request: { method: 'POST', urlPath: '/sink' }, contentLength: -1n } });
  for (let i = 0; i < 64; i++) request(up, { case: 'data', value: { data: Buffer.alloc(32 * 1024, i) } });
  request(up, { case: 'trailer', value: {} });
  respond(up, { case: 'closeSend', value: {} });
  assert.equal(bodyOf((await answer(up)).http).toString(), `{"bodyLength":${2 << 20}}`);
  const down = await kas.call(CONNECT, 2);
  open(down);
  const query = { bytes: { value: ['5000001'] } };
  request(down, { case: 'header', value: { request: { method: 'GET', urlPath: '/big', query }, contentLength: 0n } });
  request(down, { case: 'trailer', value: {} });
  respond(down, { case: 'closeSend', value: {} });
  const { http } = await answer(down);
  assert.equal(bodyOf(http).length, 5_000_001);
  assert.ok(http.every((message) => message.case !== 'data' || message.value.data.length <= 32 * 1024));
});

test('a raw tunnel sends what it is told and nothing else', async (t) => {
  const kas = await PlayedKas.start();
  t.after(() => kas.close());
  const tunnel = openRawTunnel({ kasAddress: `ws://${kas.webSocket}/x`, token: 'a-token' });
  t.after(() => tunnel.close());
  tunnel.send({ msg: { case: 'trailer', value: {} } });
  tunnel.halfClose();
  const stream = await kas.call(CONNECT);
  assert.equal(stream.headers.authorization, 'Bearer a-token');
  const received = await stream.next();
  assert.ok(received !== 'end');
  assert.equal(fromBinary(ConnectRequestSchema, received.message).msg.case, 'trailer');
  assert.equal(await stream.next(), 'end');
  respond(stream, { case: 'closeSend', value: {} });
  assert.equal((await tunnel.receive())?.msg.case, 'closeSend');
  stream.end({ 'grpc-status': '3', 'grpc-message': 'no' });
  assert.equal(await tunnel.receive(), undefined);
  assert.deepEqual(await tunnel.ended, { code: 3, message: 'no' });
});

function bodyOf(messages: HttpResponse['message'][]): Buffer {
  return Buffer.concat(messages.flatMap((message) => (message.case === 'data' ? [message.value.data] : [])));
}

function headerOf(messages: HttpResponse['message'][], name: string): string[] | undefined {
  return messages.flatMap((message) =>
    message.case === 'header' ? [message.value.response?.header[name]?.value] : [],
  )[0];
}
