import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FakeCallSession } from '../../test/support/doubles/call_session.ts';
import { frame, payloadsOf } from '../../test/support/doubles/grpc_frames.ts';
import { FakeHttp2Stream } from '../../test/support/doubles/http2_stream.ts';
import { RecordingCall } from '../../test/support/doubles/recording_call.ts';
import { recordingLog } from '../../test/support/recording_log.ts';
import { NodeTokens, NodeTokenVerifier } from '../auth/node_token.ts';
import { Secret } from '../config/secret.ts';
import { GatewayKasResponseSchema } from '../gen/gitlab/agent/kas/kas_pb.ts';
import type { FrameSink } from '../grpc/call.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { OK } from '../grpc/status.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { TunnelRegistry } from '../tunnel/registry.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { Gateway } from './gateway.ts';

const METHOD = '/svc/Do';
const secret = new Secret(Buffer.alloc(32, 1));

/** What gateway and registry use of a tunnel. */
class FakeTunnel {
  readonly agentId = 1n;
  readonly methods = new Set([METHOD]);
  idle = true;
  readonly call = new RecordingCall();
  readonly opened: { sink: FrameSink; metadata: Metadata; gzip: boolean }[] = [];

  readonly #registry: TunnelRegistry;
  held = 0;

  constructor(registry: TunnelRegistry) {
    this.#registry = registry;
  }

  hold(): void {
    this.held++;
  }

  release(): void {
    this.held--;
    if (this.idle) this.#registry.add(this as unknown as Tunnel);
  }

  openFrames(_: string, sink: FrameSink, options: { metadata: Metadata; gzip: boolean }): RecordingCall {
    this.idle = false;
    this.opened.push({ sink, ...options });
    return this.call;
  }
}

function setUp() {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const tunnels = new TunnelRegistry({ appeared() {}, emptied() {} });
  const gateway = new Gateway({ tunnels, tokens: new NodeTokenVerifier(secret, clock), clock, log });
  const serve = createGrpcServer({ methods: [gateway.method(METHOD)], compress: false, log });
  const tokens = new NodeTokens(secret, clock);
  return {
    gateway,
    tunnels,
    lines,
    add: () => {
      const tunnel = new FakeTunnel(tunnels);
      tunnels.add(tunnel as unknown as Tunnel);
      return tunnel;
    },
    take: () => tunnels.take(1n, METHOD) as unknown as FakeTunnel | undefined,
    call: (more: [string, string][] = [], agentIds = ['1'], token = `Bearer ${tokens.next()}`) => {
      const session = new FakeCallSession(clock);
      const stream = new FakeHttp2Stream();
      const raw: [string, string][] = [
        [':method', 'POST'],
        [':path', METHOD],
        ['content-type', 'application/grpc+proto'],
        ['user-agent', 'gitlab-kas/v1/abc'],
        ['grpc-accept-encoding', 'gzip'],
        ...(token === '' ? [] : [['authorization', token] as [string, string]]),
        ...agentIds.map((id): [string, string] => ['kas-hop-routing-agent-id', id]),
        ...more,
      ];
      const headers: Record<string, string> = {};
      for (const [key, value] of raw) headers[key] = key in headers ? `${headers[key]}, ${value}` : value; // as Node does
      serve(stream, headers, session, raw.flat());
      return {
        session,
        stream,
        says: (...texts: string[]) => stream.receive(Buffer.concat(texts.map((text) => frame(Buffer.from(text))))),
        heard: () =>
          payloadsOf(stream.written).map((payload) => fromBinary(GatewayKasResponseSchema, payload).msg.case),
        status: () => stream.trailers && `${stream.trailers['grpc-status']} ${stream.trailers['grpc-message']}`,
      };
    },
  };
}

test('an idle tunnel is held, opened when the other node says so, and what the node writes goes through it', () => {
  const { add, call, take } = setUp();
  const tunnel = add();
  const { says, heard, stream, session } = call();
  assert.deepEqual(heard(), ['tunnelReady']);
  assert.equal(take(), undefined);
  assert.equal(tunnel.opened.length, 0);
  says('', 'one');
  assert.equal(session.busyStreams, 1);
  says('two');
  stream.receiveEnd();
  assert.deepEqual(tunnel.call.messages.map(String), ['one', 'two']);
  assert.equal(tunnel.call.done.at(-1), 'halfClose');
});

test('what the agent answers goes back as it is, with its outcome', () => {
  const { add, call } = setUp();
  const tunnel = add();
  const { says, stream, status, session } = call();
  says('');
  tunnel.opened[0]?.sink.frames(Buffer.from('any'));
  tunnel.opened[0]?.sink.frames(Buffer.from('thing'));
  assert.equal(stream.written.subarray(7).toString(), 'anything');
  assert.equal(stream.headers?.['grpc-encoding'], 'gzip');
  tunnel.opened[0]?.sink.end(OK);
  assert.equal(status(), '0 ');
  assert.equal(session.busyStreams, 0);
});

test('without a tunnel the node hears so at once, once, and gets the next one', () => {
  const { add, call } = setUp();
  const { says, heard } = call();
  assert.deepEqual(heard(), ['noTunnel']);
  const tunnel = add();
  assert.deepEqual(heard(), ['noTunnel', 'tunnelReady']);
  says('', 'one');
  assert.deepEqual(tunnel.call.messages.map(String), ['one']);
});

test('a node that says everything ahead of its turn loses nothing, and is stopped if it says too much', () => {
  const { add, call } = setUp();
  const { says, stream } = call();
  says('', 'one', 'x'.repeat(70_000));
  assert.equal(stream.paused, true);
  const tunnel = add();
  assert.equal(stream.paused, false);
  assert.deepEqual(tunnel.call.done, ['write, more', 'write']);
  stream.receiveEnd();
  assert.equal(tunnel.call.done.at(-1), 'halfClose');
});

test('a tunnel that is not taken goes to the next who wants one', () => {
  for (const leave of ['end', 'loss'] as const) {
    const { add, call, take } = setUp();
    const tunnel = add();
    const { stream, status } = call();
    if (leave === 'end') {
      stream.receiveEnd();
      assert.equal(status(), '0 ');
    } else stream.lose();
    assert.equal(take(), tunnel);
    assert.equal(tunnel.opened.length, 0);
  }
});

test('a caller that leaves while it waits takes no tunnel', () => {
  const { add, call, take } = setUp();
  call().stream.lose();
  const tunnel = add();
  assert.equal(take(), tunnel);
});

test('a tunnel that ended while it was held is replaced by another, now or later', () => {
  for (const later of [false, true]) {
    const { add, call } = setUp();
    const held = add();
    const { says } = call();
    held.idle = false;
    const spare = later ? undefined : add();
    says('', 'one');
    const used = spare ?? add();
    assert.deepEqual([held.opened.length, used.call.messages.map(String)], [0, ['one']]);
  }
});

test('a caller that goes away is told to the agent', () => {
  const { add, call } = setUp();
  const tunnel = add();
  const { says, stream, session } = call();
  says('');
  stream.lose();
  assert.equal(tunnel.call.cancelled?.code, StatusCode.Canceled);
  assert.equal(session.busyStreams, 0);
});

test('slow readers on either side stop the other', () => {
  const { add, call } = setUp();
  const tunnel = add();
  const { says, stream } = call();
  says('');
  tunnel.call.ready = false;
  says('one');
  assert.equal(stream.paused, true);
  tunnel.call.drain();
  assert.equal(stream.paused, false);
  stream.ready = false;
  tunnel.opened[0]?.sink.frames(Buffer.from('x'));
  assert.equal(tunnel.call.paused, true);
  stream.drain();
  assert.equal(tunnel.call.paused, false);
});

test('the agent gets no metadata of the hop, least of all the token', () => {
  const { add, call } = setUp();
  const tunnel = add();
  const more: [string, string][] = [
    ['kas-hop-other', 'x'],
    ['x-custom', '1'],
    ['x-custom', '2'],
    ['traceparent', '00-1-2-01'],
    ['baggage', 'a=b'],
    ['grpc-timeout', '3S'],
  ];
  call(more).says('');
  assert.deepEqual(
    [...(tunnel.opened[0]?.metadata ?? [])],
    [
      ['user-agent', ['gitlab-kas/v1/abc']],
      ['x-custom', ['1', '2']],
      ['traceparent', ['00-1-2-01']],
      ['baggage', ['a=b']],
    ],
  );
});

test('a node that leaves sends those who wait elsewhere, and those who come', () => {
  const { gateway, add, call, take } = setUp();
  const waiting = call();
  gateway.leave();
  assert.equal(waiting.status(), '14 kas is shutting down');
  const tunnel = add();
  assert.equal(call().status(), '14 kas is shutting down');
  assert.equal(take(), tunnel);
});

test('calls that make no sense, or show no token, are refused', () => {
  const { call } = setUp();
  assert.equal(call([], []).status(), '3 Expecting a single kas-hop-routing-agent-id, got 0');
  assert.equal(call([], ['1', '2']).status(), '3 Expecting a single kas-hop-routing-agent-id, got 2');
  for (const id of ['x', '', '1.5', '99999999999999999999', '9223372036854775808'])
    assert.equal(call([], [id]).status(), '3 Invalid kas-hop-routing-agent-id', id);
  assert.equal(call([], ['1'], '').status(), '16 Request unauthenticated with bearer');
  assert.equal(call([], ['1'], 'Bearer nonsense').status(), '16 JWT validation failed');
});

test('a node with another secret is told of in those words, once a minute', () => {
  const { call, lines } = setUp();
  const foreign = new NodeTokens(new Secret(Buffer.alloc(32, 2)), new FakeClock());
  for (let i = 0; i < 3; i++)
    assert.equal(call([], ['1'], `Bearer ${foreign.next()}`).status(), '16 JWT validation failed');
  assert.deepEqual(
    lines.map(({ level, message }) => `${level} ${message}`),
    [
      'warn A node with another private API secret has called',
      'debug JWT validation failed',
      'debug JWT validation failed',
    ],
  );
});

test('a tunnel that is held does not end with its connection, and what it may not give any more is refused when this node leaves', () => {
  const { gateway, add, call } = setUp();
  const tunnel = add();
  const { says, status } = call();
  assert.equal(tunnel.held, 1);
  gateway.leave();
  assert.equal(status(), undefined, 'the other node is about to take it');
  tunnel.idle = false;
  says('');
  assert.equal(status(), '14 kas is shutting down');
});
