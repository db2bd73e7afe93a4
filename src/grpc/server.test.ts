import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { FakeCallSession } from '../../test/support/doubles/call_session.ts';
import { FakeHttp2Stream } from '../../test/support/doubles/http2_stream.ts';
import { recordingLog, withoutCorrelation } from '../../test/support/recording_log.ts';
import { createGrpcMetrics } from '../observability/grpc_metrics.ts';
import { Hint } from '../observability/hints.ts';
import { AppError } from '../runtime/app_error.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { createGrpcServer, type GrpcServerOptions } from './server.ts';
import type { ServerCall } from './server_call.ts';

function setUp(more: Partial<Pick<GrpcServerOptions, 'compress' | 'fallback' | 'metrics'>> = {}) {
  const { log, lines } = recordingLog();
  const calls: ServerCall[] = [];
  const server = createGrpcServer({
    methods: [
      { path: '/pkg.Service/Method', handle: (call) => void calls.push(call) },
      {
        path: '/pkg.Service/Refuses',
        handle() {
          throw new AppError(StatusCode.NotFound, 'not here');
        },
      },
      {
        path: '/pkg.Service/Broken',
        handle() {
          throw new Error('a secret detail');
        },
      },
    ],
    compress: more.compress ?? true,
    log,
    ...(more.fallback && { fallback: more.fallback }),
    ...(more.metrics && { metrics: more.metrics }),
  });
  return {
    calls,
    lines,
    ask(path: string | undefined, headers: IncomingHttpHeaders = {}) {
      const stream = new FakeHttp2Stream();
      const all = { ':method': 'POST', 'content-type': 'application/grpc', ...headers };
      server(stream, path === undefined ? all : { ...all, ':path': path }, new FakeCallSession(new FakeClock()));
      const { trailers } = stream;
      return { stream, status: trailers && `${trailers['grpc-status']} ${trailers['grpc-message']}` };
    },
  };
}

test('a method gets its calls', () => {
  const { ask, calls } = setUp();
  const { status } = ask('/pkg.Service/Method', { 'content-type': 'application/grpc+proto' });
  assert.equal(status, undefined);
  assert.equal(calls[0]?.path, '/pkg.Service/Method');
});

test('what no method serves is named in the words of Go’s server', () => {
  const { ask } = setUp();
  const cases: [string | undefined, string][] = [
    ['/pkg.Service/Other', '12 unknown method Other for service pkg.Service'],
    ['/pkg.Other/Method', '12 unknown service pkg.Other'],
    ['/Method', '12 malformed method name: "/Method"'],
    ['Method', '12 malformed method name: "Method"'],
    [undefined, '12 malformed method name: ""'],
  ];
  for (const [path, status] of cases) assert.equal(ask(path).status, status);
});

test('the fallback is asked for paths that no method has', () => {
  const handled: string[] = [];
  const { ask, calls } = setUp({
    fallback: (path) =>
      path === '/other.Service/Method' ? { path, handle: (call) => void handled.push(call.path) } : undefined,
  });
  ask('/other.Service/Method');
  ask('/pkg.Service/Method');
  assert.equal(ask('/third.Service/Method').status, '12 unknown service third.Service');
  assert.deepEqual([handled, calls.length], [['/other.Service/Method'], 1]);
});

test('what is no gRPC gets an answer of HTTP', () => {
  const { ask, calls } = setUp();
  const cases: [IncomingHttpHeaders, number][] = [
    [{ ':method': 'GET' }, 405],
    [{ 'content-type': 'application/json' }, 415],
    [{ 'content-type': 'application/grpcweb' }, 415],
    [{ 'content-type': '' }, 415],
  ];
  for (const [headers, expected] of cases) {
    const { stream } = ask('/pkg.Service/Method', headers);
    assert.equal(stream.headers?.[':status'], expected);
  }
  assert.deepEqual(calls, []);
});

test('a timeout that is none is refused before anything is asked', () => {
  const { ask, calls } = setUp();
  for (const path of ['/pkg.Service/Method', '/pkg.Other/Method']) {
    const { stream } = ask(path, { 'grpc-timeout': 'later', 'content-type': 'application/grpc+proto' });
    assert.deepEqual(stream.sent, ['headers']);
    assert.deepEqual(stream.trailers, {
      ':status': 400,
      'content-type': 'application/grpc+proto',
      'grpc-status': '13',
      'grpc-message': 'malformed grpc-timeout: transport: timeout unit is not recognized: "later"',
    });
  }
  assert.deepEqual(calls, []);
  ask('/pkg.Service/Method', { 'grpc-timeout': '5S' });
  assert.equal(calls.length, 1);
});

test('a compression that is not there is refused', () => {
  const { ask } = setUp();
  const { status } = ask('/pkg.Service/Method', { 'grpc-encoding': 'snappy' });
  assert.equal(status, '12 grpc: Decompressor is not installed for grpc-encoding "snappy"');
  assert.equal(ask('/pkg.Service/Method', { 'grpc-encoding': 'identity' }).status, undefined);
});

test('answers are compressed for clients that compress, if that is wanted', () => {
  for (const [compress, encoding, expected] of [
    [true, 'gzip', true],
    [true, 'identity', false],
    [false, 'gzip', false],
  ] as const) {
    const { ask, calls } = setUp({ compress });
    ask('/pkg.Service/Method', { 'grpc-encoding': encoding });
    assert.equal(calls[0]?.compress, expected);
  }
});

test('what a method throws becomes the status; a defect keeps its text for the log', () => {
  const { ask, lines } = setUp();
  assert.equal(ask('/pkg.Service/Refuses').status, '5 not here');
  assert.deepEqual(lines, []);
  assert.equal(ask('/pkg.Service/Broken').status, '13 internal error');
  assert.deepEqual(withoutCorrelation(lines), [
    {
      level: 'error',
      message: 'Unknown gRPC error in "/pkg.Service/Broken"',
      fields: { error: 'a secret detail', hint: Hint.defect },
    },
  ]);
});

test('calls of a method are counted, with how they end; what nobody serves is not', async () => {
  const registry = new Registry();
  const grpc = createGrpcMetrics(registry);
  const asked: string[] = [];
  const { ask, calls } = setUp({
    metrics(path) {
      asked.push(path);
      return grpc.server(path, 'bidi_stream');
    },
  });
  ask('/pkg.Service/None');
  assert.deepEqual(asked, []);
  ask('/pkg.Service/Refuses');
  ask('/pkg.Service/Method').stream.lose();
  ask('/pkg.Service/Method');
  calls[1]?.write(Buffer.from('a'));
  calls[1]?.writeFrames(Buffer.alloc(10), 2);
  const page = await registry.metrics();
  const labels = (method: string) => `grpc_type="bidi_stream",grpc_service="pkg.Service",grpc_method="${method}"`;
  for (const line of [
    `grpc_server_handled_total{${labels('Refuses')},grpc_code="NotFound"} 1`,
    `grpc_server_started_total{${labels('Method')}} 2`,
    `grpc_server_handled_total{${labels('Method')},grpc_code="Canceled"} 1`,
    `grpc_server_msg_sent_total{${labels('Method')}} 3`,
    'grpc_server_requests_in_flight{grpc_service="pkg.Service",grpc_method="Method"} 1',
  ]) {
    assert.ok(page.split('\n').includes(line), `${line} is not in\n${page}`);
  }
});
