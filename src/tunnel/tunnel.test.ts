import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { FakeCallSession } from '../../test/support/doubles/call_session.ts';
import { frame, payloadsOf } from '../../test/support/doubles/grpc_frames.ts';
import { FakeHttp2Stream } from '../../test/support/doubles/http2_stream.ts';
import { RecordingSink } from '../../test/support/doubles/recording_sink.ts';
import { server } from '../../test/support/doubles/server_call.ts';
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
} from '../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { ServerCall } from '../grpc/server_call.ts';
import { type GrpcStatus, OK } from '../grpc/status.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { Tunnel } from './tunnel.ts';

type Msg = NonNullable<MessageInitShape<typeof ConnectRequestSchema>['msg']>;

const METHOD = '/svc/Do';
const descriptor: Msg = {
  case: 'descriptor',
  value: { agentDescriptor: { services: [{ name: 'svc', methods: [{ name: 'Do' }] }] } },
};
const header: Msg = { case: 'header', value: { meta: { 'content-type': { value: ['application/grpc'] } } } };
const trailer: Msg = { case: 'trailer', value: { meta: { t: { value: ['1'] } } } };
const lost = { code: StatusCode.Unavailable, message: 'the connection to the agent was lost' };

function message(text: string): Msg {
  return { case: 'message', value: { data: Buffer.from(text) } };
}

function error(code: number, text: string): Msg {
  return { case: 'error', value: { status: { code, message: text } } };
}

function setUp(more: { aged?: boolean; compressing?: boolean } = {}) {
  const clock = new FakeClock();
  const session = new FakeCallSession(clock);
  if (more.aged) session.reachAge();
  const stream = new FakeHttp2Stream();
  const headers = {
    ':path': '/Connect',
    'content-type': 'application/grpc',
    ...(more.compressing && { 'grpc-encoding': 'gzip' }),
  };
  const call = new ServerCall(stream, headers, session, '/Connect', false, server);
  const kept: string[] = [];
  const tunnel = new Tunnel(call, 42n, {
    add: () => kept.push('add'),
    lost: () => kept.push('lost'),
    busy: () => kept.push('busy'),
    done: () => kept.push('done'),
  });
  const sink = new RecordingSink();
  return {
    clock,
    session,
    stream,
    kept,
    tunnel,
    sink,
    says: (...msgs: Msg[]) => {
      const bytes = msgs.map((msg) => frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg }))));
      stream.receive(Buffer.concat(bytes));
    },
    /** What the agent was sent. */
    heard: () =>
      payloadsOf(stream.written).map((payload) => {
        const { msg } = fromBinary(ConnectResponseSchema, payload);
        if (msg.case === 'requestInfo') return `requestInfo ${msg.value.methodName}`;
        return msg.case === 'message' ? `message ${Buffer.from(msg.value.data)}` : msg.case;
      }),
    status: () => stream.trailers && `${stream.trailers['grpc-status']} ${stream.trailers['grpc-message']}`,
  };
}

function idle(more: { aged?: boolean } = {}) {
  const all = setUp(more);
  all.says(descriptor);
  return all;
}

function busy() {
  const all = idle();
  const call = all.tunnel.open(METHOD, all.sink);
  return { ...all, call };
}

test('a tunnel is idle once its agent has described itself, and says nothing then', () => {
  const { kept, tunnel, says, stream } = setUp();
  assert.deepEqual(kept, []);
  says(descriptor);
  assert.deepEqual(kept, ['add']);
  assert.deepEqual([...tunnel.methods], [METHOD]);
  assert.equal(tunnel.agentId, 42n);
  assert.deepEqual(stream.sent, []);
});

test('a call goes through, both ways', () => {
  const { call, says, heard, sink, stream, status, session } = busy();
  assert.equal(session.busyStreams, 1);
  assert.deepEqual(stream.sent, []);
  call.write(Buffer.from('ping'));
  assert.deepEqual(heard(), [`requestInfo ${METHOD}`, 'message ping']);
  says(header, message('pong'), message(''));
  call.write(Buffer.alloc(0), true);
  call.write(Buffer.from('more'), true);
  call.halfClose();
  assert.deepEqual(heard().slice(2), ['message ', 'message more', 'closeSend']);
  says(trailer);
  assert.equal(sink.ended, undefined);
  stream.receiveEnd();
  assert.deepEqual(sink.heard, [
    'header content-type=application/grpc',
    'message pong',
    'message ',
    'trailer t=1',
    'end 0 ',
  ]);
  assert.equal(status(), '0 ');
  assert.equal(session.busyStreams, 0);
});

test('small messages leave together', () => {
  const { call, stream } = busy();
  call.write(Buffer.from('a'), true);
  call.write(Buffer.from('b'), true);
  assert.deepEqual(stream.sent, []);
  call.halfClose();
  assert.deepEqual(stream.sent, ['headers', 'data']);
});

test('a call may be half-closed before anything was written', () => {
  const { call, heard } = busy();
  call.halfClose();
  assert.deepEqual(heard(), [`requestInfo ${METHOD}`, 'closeSend']);
});

test('an error of the agent is the outcome of the call, the tunnel itself ends with OK', () => {
  for (const before of [[header, message('x'), trailer], [header, trailer], []]) {
    const { says, sink, stream, status } = busy();
    says(...before, error(5, 'no such pod'));
    assert.equal(sink.ended, undefined);
    stream.receiveEnd();
    assert.deepEqual(sink.ended, { code: StatusCode.NotFound, message: 'no such pod' });
    assert.equal(status(), '0 ');
  }
});

test('an early answer ends the call while it is still written', () => {
  const { call, says, sink, stream, heard } = busy();
  call.write(Buffer.from('first'));
  says(header, trailer);
  stream.receiveEnd();
  assert.deepEqual(sink.ended, OK);
  const before = heard();
  assert.equal(call.write(Buffer.from('second')), true);
  call.halfClose();
  call.pause();
  call.resume();
  call.cancel(lost);
  assert.deepEqual(heard(), before);
  assert.equal(sink.ends, 1);
});

test('a half-close where it may not be is the agent’s fault, for both sides', () => {
  const cases: [Msg[], string][] = [
    [[], '3 transition from 1 to -1 is not allowed. Allowed: [2 5]'],
    [[header], '3 transition from 2 to -1 is not allowed. Allowed: [3 4]'],
    [[header, message('x')], '3 transition from 3 to -1 is not allowed. Allowed: [3 4]'],
  ];
  for (const [before, expected] of cases) {
    const { says, sink, stream, status, session } = busy();
    says(...before);
    stream.receiveEnd();
    assert.equal(status(), expected);
    assert.equal(sink.heard.at(-1), `end ${expected}`);
    assert.equal(sink.ends, 1);
    assert.equal(session.busyStreams, 0);
  }
});

test('a message where it may not be is the agent’s fault, and nothing comes after it', () => {
  const cases: [Msg[], string][] = [
    [[descriptor], '3 transition from 1 to 1 is not allowed. Allowed: [2 5]'],
    [[message('x')], '3 transition from 1 to 3 is not allowed. Allowed: [2 5]'],
    [[trailer], '3 transition from 1 to 4 is not allowed. Allowed: [2 5]'],
    [[header, header], '3 transition from 2 to 2 is not allowed. Allowed: [3 4]'],
    [[header, error(1, '')], '3 transition from 2 to 5 is not allowed. Allowed: [3 4]'],
    [[header, trailer, message('x')], '3 transition from 4 to 3 is not allowed. Allowed: [-1 5]'],
    [[error(1, ''), error(1, '')], '3 transition from 5 to 5 is not allowed. Allowed: [-1]'],
    [
      [{ case: 'error', value: {} }],
      '3 invalid ConnectRequest.Error: embedded message failed validation | caused by: invalid Error.Status: value is required',
    ],
  ];
  for (const [msgs, expected] of cases) {
    const { says, sink, stream, status } = busy();
    says(...msgs, header, message('too late'));
    stream.receiveEnd();
    stream.lose();
    assert.equal(status(), expected);
    assert.equal(sink.heard.at(-1), `end ${expected}`);
    assert.equal(sink.ends, 1);
  }
});

test('an agent that does not begin with its descriptor is told so', () => {
  const cases: [Msg, string][] = [
    [header, '3 Invalid oneof value type: *rpc.ConnectRequest_Header'],
    [message('x'), '3 Invalid oneof value type: *rpc.ConnectRequest_Message'],
    [trailer, '3 Invalid oneof value type: *rpc.ConnectRequest_Trailer'],
    [error(1, ''), '3 Invalid oneof value type: *rpc.ConnectRequest_Error'],
  ];
  for (const [first, expected] of cases) {
    const { says, kept, status } = setUp();
    says(first, descriptor);
    assert.equal(status(), expected);
    assert.deepEqual(kept, []);
  }
});

test('an agent that leaves before its descriptor is told what upstream tells it', () => {
  const { stream, kept, status } = setUp();
  stream.receiveEnd();
  assert.equal(status(), '2 EOF');
  assert.deepEqual(kept, []);
});

test('no field, and no protobuf, are refused in every state', () => {
  const bad: [string, string][] = [
    ['', '3 invalid ConnectRequest.Msg: value is required'],
    ['3201ff', '3 invalid ConnectRequest.Msg: value is required'],
    ['0aff', '13 grpc: error unmarshalling request: proto: cannot parse invalid wire-format data'],
  ];
  for (const [hex, expected] of bad) {
    for (const start of [setUp, idle, busy]) {
      const { stream, status, sink, kept } = start();
      stream.receive(frame(Buffer.from(hex, 'hex')));
      assert.equal(status(), expected);
      assert.equal(sink.ends, start === busy ? 1 : 0);
      assert.deepEqual(kept, start === setUp ? [] : start === idle ? ['add', 'lost'] : ['add', 'busy', 'done']);
    }
  }
});

test('a descriptor that cannot be read is refused', () => {
  const { stream, status, kept } = setUp();
  stream.receive(frame(Buffer.from('0a020aff', 'hex')));
  assert.equal(status(), '13 grpc: error unmarshalling request: proto: cannot parse invalid wire-format data');
  assert.deepEqual(kept, []);
});

test('unknown fields beside a known one change nothing', () => {
  const { stream, sink } = busy();
  const known = toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg: header }));
  stream.receive(frame(Buffer.concat([known, Buffer.from('3203616263', 'hex'), Buffer.from('3801', 'hex')])));
  assert.deepEqual(sink.heard, ['header content-type=application/grpc']);
});

test('of two members the last one counts', () => {
  const { stream, sink } = busy();
  const both = [header, error(5, 'x')].map((msg) =>
    toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg })),
  );
  stream.receive(frame(Buffer.concat(both)));
  stream.receiveEnd();
  assert.deepEqual(sink.heard, ['end 5 x']);
});

test('an agent that answers before it was asked is refused', () => {
  for (const [msg, field] of [
    [header, 2],
    [error(1, ''), 5],
  ] as const) {
    const { says, status, kept } = idle();
    says(msg);
    assert.equal(status(), `3 unexpected field number received: ${field}`);
    assert.deepEqual(kept, ['add', 'lost']);
  }
});

test('an idle tunnel that is half-closed is of no use any more, but the agent’s to end', () => {
  const { stream, kept, status, session, tunnel } = idle();
  stream.receiveEnd();
  assert.deepEqual(kept, ['add', 'lost']);
  assert.equal(tunnel.idle, false, 'nor to who holds it back');
  assert.equal(status(), undefined);
  session.reachAge();
  assert.equal(status(), '0 ');
  assert.deepEqual(kept, ['add', 'lost'], 'lost once');
});

test('an idle tunnel whose agent is gone is lost, once', () => {
  const { stream, kept, session } = idle();
  stream.lose();
  assert.deepEqual(kept, ['add', 'lost']);
  assert.equal(session.ageListeners, 0);
});

test('a call whose agent is gone ends, once', () => {
  const { stream, says, sink, kept, session } = busy();
  says(header);
  stream.lose();
  assert.deepEqual(sink.ended, lost);
  assert.equal(sink.ends, 1);
  assert.deepEqual(kept, ['add', 'busy', 'done']);
  assert.equal(session.busyStreams, 0);
});

test('at its connection’s age a tunnel without a call ends with OK, a busy one goes on', () => {
  const opening = setUp();
  opening.session.reachAge();
  assert.equal(opening.status(), '0 ');

  const waiting = idle();
  waiting.session.reachAge();
  assert.equal(waiting.status(), '0 ');
  assert.deepEqual(waiting.kept, ['add', 'lost']);

  const carrying = busy();
  assert.equal(carrying.session.ageListeners, 0);
  carrying.session.reachAge();
  assert.equal(carrying.status(), undefined);
  carrying.says(header, trailer);
  carrying.stream.receiveEnd();
  assert.deepEqual(carrying.sink.ended, OK);
});

test('a tunnel on a connection that has its age already ends with OK and is not kept', () => {
  const { status, kept } = idle({ aged: true });
  assert.equal(status(), '0 ');
  assert.ok(!kept.includes('add'));
});

test('a cancelled call shows its status to the agent and nothing to its sink', () => {
  const { call, says, stream, status, sink, session } = busy();
  says(header);
  call.cancel({ code: StatusCode.Canceled, message: 'read from incoming stream' });
  says(message('x'), trailer);
  stream.lose();
  assert.equal(status(), '1 read from incoming stream');
  assert.deepEqual(sink.heard, ['header content-type=application/grpc']);
  assert.equal(session.busyStreams, 0);
});

test('a sink that cancels in the middle of a chunk hears nothing of the rest', () => {
  const { call, says, sink } = busy();
  sink.onMessage = () => call.cancel(OK);
  says(header, message('one'), message('two'), trailer);
  assert.deepEqual(sink.heard, ['header content-type=application/grpc', 'message one']);
});

test('a pause holds the agent’s messages, also those of the chunk being read', () => {
  const { call, says, sink, stream } = busy();
  sink.onMessage = () => call.pause();
  says(header, message('one'), message('two'), trailer);
  stream.receiveEnd();
  assert.equal(sink.heard.at(-1), 'message one');
  assert.equal(stream.paused, true);
  call.resume();
  assert.equal(sink.heard.at(-1), 'message two');
  call.resume();
  assert.deepEqual(sink.heard.slice(-2), ['trailer t=1', 'end 0 ']);
});

test('a slow agent makes writers wait until its stream drains', () => {
  const { call, stream } = busy();
  let drained = 0;
  call.onDrain(() => drained++);
  assert.equal(call.write(Buffer.from('a')), true);
  stream.ready = false;
  assert.equal(call.write(Buffer.from('b')), false);
  stream.drain();
  assert.equal(drained, 1);
});

test('a tunnel does not end while it carries a call', () => {
  const { tunnel, status } = busy();
  tunnel.end(OK);
  assert.equal(status(), undefined);
});

test('a sink without interest in metadata is spared it', () => {
  const { says, tunnel } = idle();
  const heard: string[] = [];
  tunnel.open(METHOD, { message: (payload) => heard.push(`${payload}`), end: () => {} });
  says(header, message('x'), trailer);
  assert.deepEqual(heard, ['x']);
});

/** The other end of a call whose answer is passed on: keeps the bytes. */
class PassedOn {
  readonly bytes: Buffer[] = [];
  ended: GrpcStatus | undefined;

  frames(bytes: Buffer): void {
    this.bytes.push(bytes);
  }

  end(status: GrpcStatus): void {
    this.ended = status;
  }
}

function passing(more: { compressing?: boolean; gzip?: boolean } = {}) {
  const all = setUp({ compressing: more.compressing ?? false });
  all.says(descriptor);
  const to = new PassedOn();
  const metadata = new Map([['x-custom', ['1', '2']]]);
  const call = all.tunnel.openFrames(METHOD, to, { metadata, gzip: more.gzip ?? true });
  return { ...all, call, to, passed: () => Buffer.concat(to.bytes) };
}

function connectRequest(msg: Msg, more: { gzip?: boolean } = {}): Buffer {
  return frame(toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg })), more);
}

test('an answer is passed on as it comes, compressed or not, with the numbers it has', () => {
  const { call, stream, to, passed, status } = passing({ compressing: true });
  call.write(Buffer.from('ping'));
  const rest = Buffer.concat([
    connectRequest(message('a'), { gzip: true }),
    connectRequest(message('b')),
    connectRequest(trailer, { gzip: true }),
    connectRequest(error(5, 'no such pod')),
  ]);
  stream.receive(Buffer.concat([connectRequest(header, { gzip: true }), rest.subarray(0, 9)]));
  stream.receive(rest.subarray(9));
  assert.deepEqual(passed(), Buffer.concat([connectRequest(header), rest]));
  assert.equal(to.ended, undefined);
  stream.receiveEnd();
  assert.deepEqual(to.ended, OK);
  assert.equal(status(), '0 ');
});

test('who cannot read gzip gets an answer inflated', () => {
  const { stream, passed } = passing({ compressing: true, gzip: false });
  for (const part of [header, message('a'), trailer]) stream.receive(connectRequest(part, { gzip: true }));
  assert.deepEqual(passed(), Buffer.concat([header, message('a'), trailer].map((part) => connectRequest(part))));
});

test('an error in place of an answer is the outcome', () => {
  const { stream, to, passed } = passing();
  stream.receive(connectRequest(error(5, 'no such pod')));
  stream.receiveEnd();
  assert.deepEqual(to.ended, { code: StatusCode.NotFound, message: 'no such pod' });
  assert.equal(passed().length, 0);
});

test('an answer that begins with anything else ends both sides', () => {
  const { stream, to, status } = passing();
  stream.receive(connectRequest(message('a')));
  const problem = 'transition from 1 to 3 is not allowed. Allowed: [2 5]';
  assert.deepEqual(to.ended, { code: StatusCode.InvalidArgument, message: problem });
  assert.equal(status(), `3 ${problem}`);
});

test('an agent that is lost in the middle of an answer that is passed on', () => {
  const { stream, to } = passing();
  stream.receive(connectRequest(header));
  stream.lose();
  assert.deepEqual(to.ended, lost);
});

test('metadata reaches the agent', () => {
  const { call, stream } = passing();
  call.halfClose();
  const [first] = payloadsOf(stream.written);
  const { msg } = fromBinary(ConnectResponseSchema, first ?? Buffer.alloc(0));
  assert.ok(msg.case === 'requestInfo');
  assert.deepEqual(msg.value.meta['x-custom']?.value, ['1', '2']);
});

test('a tunnel that somebody holds outlives the age of its connection, until it is let go', () => {
  const { session, tunnel, kept, status } = idle();
  tunnel.hold();
  session.reachAge();
  assert.equal(status(), undefined);
  assert.equal(tunnel.idle, true);
  tunnel.release();
  assert.equal(status(), '0 ');
  assert.deepEqual(kept, ['add', 'lost']);
});

test('a tunnel that was held and let go is idle again, and ends with its connection as before', () => {
  const { session, tunnel, kept, status } = idle();
  tunnel.hold();
  tunnel.release();
  assert.deepEqual(kept, ['add', 'add']);
  session.reachAge();
  assert.equal(status(), '0 ');
});
