// What an agent may say through a tunnel, in any order: its client hears a beginning, a middle and one end.
import assert from 'node:assert/strict';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { HttpResponseSchema } from '../../src/gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { ConnectRequestSchema } from '../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import type { Call } from '../../src/grpc/call.ts';
import { ServerCall } from '../../src/grpc/server_call.ts';
import { OK } from '../../src/grpc/status.ts';
import { FakeClock } from '../../src/runtime/fake_clock.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { FakeCallSession } from '../support/doubles/call_session.ts';
import { setUp } from '../support/doubles/exchange.ts';
import { frame } from '../support/doubles/grpc_frames.ts';
import { FakeHttp2Stream } from '../support/doubles/http2_stream.ts';
import { RecordingSink } from '../support/doubles/recording_sink.ts';
import { server } from '../support/doubles/server_call.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, damaged, damages } from './lib/inputs.ts';

type Msg = NonNullable<MessageInitShape<typeof ConnectRequestSchema>['msg']>;

const said: Record<string, Msg> = {
  descriptor: {
    case: 'descriptor',
    value: { agentDescriptor: { services: [{ name: 'svc', methods: [{ name: 'Do' }] }] } },
  },
  header: { case: 'header', value: { meta: { a: { value: ['1', '2'] } } } },
  message: { case: 'message', value: { data: Buffer.from('x') } },
  empty: { case: 'message', value: {} },
  trailer: { case: 'trailer', value: { meta: { t: { value: ['1'] } } } },
  error: { case: 'error', value: { status: { code: 5, message: 'no' } } },
  'no error': { case: 'error', value: {} },
};

const step = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...Object.keys(said)).map((what) => ({ kind: 'says' as const, what })) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('mumbles' as const),
      what: fc.constantFrom(...Object.keys(said)),
      damage: damages(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('garbage' as const), bytes: bytes(30) }) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom('write', 'more', 'halfClose', 'pause', 'resume', 'open', 'half-closes', 'leaves', 'age', 'cancel')
      .map((what) => ({ kind: what })),
  },
);
/** Most begin as they should, or nothing would get far. */
const steps = fc
  .tuple(fc.constantFrom(0, 1, 2, 3, 3, 3), fc.array(step, { maxLength: 12 }))
  .map(([usual, rest]) => [
    ...[{ kind: 'says', what: 'descriptor' }, { kind: 'open' }, { kind: 'says', what: 'header' }].slice(0, usual),
    ...rest,
  ]) as fc.Arbitrary<readonly { kind: string; what?: string; damage?: []; bytes?: Buffer }[]>;

fuzz('a tunnel keeps the order whatever happens', steps, (list) => {
  const session = new FakeCallSession(new FakeClock());
  const stream = new FakeHttp2Stream();
  const headers = { ':path': '/Connect', 'content-type': 'application/grpc' };
  const call = new ServerCall(stream, headers, session, '/Connect', false, server);
  const kept: string[] = [];
  const tunnel = new Tunnel(call, 42n, {
    add: () => kept.push('add'),
    lost: () => kept.push('lost'),
    busy: () => kept.push('busy'),
    done: () => kept.push('done'),
  });
  const sink = new RecordingSink();
  let open: Call | undefined;
  let cancelled = false;
  const gone = () => stream.closed || stream.trailers !== undefined;
  for (const { kind, what, damage, bytes: garbage } of list) {
    const message = () =>
      toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { msg: said[what ?? ''] as Msg }));
    if (['says', 'mumbles', 'garbage'].includes(kind) && !gone())
      stream.receive(frame(kind === 'garbage' ? garbage! : damaged(message(), damage ?? [])));
    else if (kind === 'open' && tunnel.idle) open = tunnel.open('/svc/Do', sink);
    else if (kind === 'write') open?.write(Buffer.from('y'));
    else if (kind === 'more') open?.write(Buffer.from('y'), true);
    else if (kind === 'halfClose') open?.halfClose();
    else if (kind === 'pause') open?.pause();
    else if (kind === 'resume') open?.resume();
    else if (kind === 'cancel' && open !== undefined && !cancelled) {
      cancelled = sink.ends === 0;
      open.cancel(OK);
    } else if (kind === 'half-closes' && !gone()) stream.receiveEnd();
    else if (kind === 'leaves' && !stream.closed) stream.lose();
    else if (kind === 'age') session.reachAge();
  }
  if (!stream.closed) stream.lose();
  assert.match(sink.heard.map((line) => line[0]).join(''), /^h?m*t?e?$/);
  assert.equal(sink.ends, open === undefined || cancelled ? 0 : 1);
  assert.match(kept.join(' '), /^(add (lost|busy done))?$/);
  assert.equal(session.busyStreams, 0);
  assert.equal(session.ageListeners, 0);
});

const parts: Record<string, MessageInitShape<typeof HttpResponseSchema>['message']> = {
  head: { case: 'header', value: { response: { statusCode: 200, header: { A: { value: ['b'] } } } } },
  'head with length': {
    case: 'header',
    value: { response: { statusCode: 200, header: { 'Content-Length': { value: ['2'] } } } },
  },
  'head 101': { case: 'header', value: { response: { statusCode: 101 } } },
  'head 204': { case: 'header', value: { response: { statusCode: 204 } } },
  'head 100': { case: 'header', value: { response: { statusCode: 100 } } },
  'head 99999': { case: 'header', value: { response: { statusCode: 99_999 } } },
  'no head': { case: 'header', value: {} },
  data: { case: 'data', value: { data: Buffer.from('12') } },
  'no data': { case: 'data', value: {} },
  trailer: { case: 'trailer', value: {} },
  upgraded: { case: 'upgradeData', value: { data: Buffer.from('u') } },
};
const answers = fc.array(
  fc.record({
    what: fc.constantFrom('end', 'fail', ...Object.keys(parts)),
    damage: fc.oneof(fc.constant([]), damages(2)),
  }),
  { maxLength: 7 },
);
const requests = fc.constantFrom(
  'GET /x HTTP/1.1\r\nHost: k\r\n\r\n',
  'HEAD /x HTTP/1.1\r\nHost: k\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: k\r\nContent-Length: 4\r\n\r\nha',
  'GET /x HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
);

fuzz(
  'a client gets one answer or its end, whatever an agent answers',
  fc.tuple(requests, answers),
  async ([request, list]) => {
    const { connection, opened, call, ends } = await setUp(request);
    let over = false;
    for (const { what, damage } of list) {
      if (over || call.cancelled !== undefined) break;
      over = what === 'end' || what === 'fail';
      if (over) ends({ code: what === 'end' ? 0 : 14, message: 'x' });
      else {
        const message = create(HttpResponseSchema, { message: parts[what] as NonNullable<(typeof parts)[string]> });
        opened.sink.message(damaged(toBinary(HttpResponseSchema, message), damage));
      }
    }
    if (!over && call.cancelled === undefined) ends({ code: 14, message: 'lost' });
    await connection.settle();
    const { received } = connection;
    assert.ok(received === '' ? connection.ended : /^HTTP\/1\.1 \d{3} /.test(received), received);
    assert.ok(!/^HTTP\/1\.1 101/.test(received) || request.includes('Upgrade'), received);
    // One answer at the most: a second one would be taken for that of the next request.
    if (!/^HTTP\/1\.1 101/.test(received))
      assert.equal(received.match(/HTTP\/1\.1 \d{3} /g)?.length ?? 0, received === '' ? 0 : 1);
    connection.client.destroy();
  },
);
