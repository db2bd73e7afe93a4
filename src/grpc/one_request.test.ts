import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FakeCallSession } from '../../test/support/doubles/call_session.ts';
import { frame, payloadsOf } from '../../test/support/doubles/grpc_frames.ts';
import { FakeHttp2Stream } from '../../test/support/doubles/http2_stream.ts';
import { server } from '../../test/support/doubles/server_call.ts';
import { StatusSchema } from '../gen/google/rpc/status_pb.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { oneRequest, respond } from './one_request.ts';
import { ServerCall } from './server_call.ts';

const message = create(StatusSchema, { code: 3, message: 'x' });
const payload = toBinary(StatusSchema, message);

function setUp() {
  const stream = new FakeHttp2Stream();
  const call = new ServerCall(stream, {}, new FakeCallSession(new FakeClock()), '/s/M', false, server);
  return { stream, call, request: oneRequest(call, StatusSchema) };
}

test('the request is there when the client has finished', async () => {
  const { stream, request } = setUp();
  stream.receive(frame(payload));
  stream.receiveEnd();
  assert.deepEqual(await request, message);
});

test('no request, two, and one that cannot be read are refused', async () => {
  const cases: [Buffer, string][] = [
    [Buffer.alloc(0), 'grpc: received no request message'],
    [Buffer.concat([frame(payload), frame(payload)]), 'grpc: received more than one request message'],
    [frame(Buffer.of(0xff)), 'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data'],
  ];
  for (const [bytes, text] of cases) {
    const { stream, request } = setUp();
    stream.receive(bytes);
    stream.receiveEnd();
    await assert.rejects(request, { code: StatusCode.Internal, message: text });
  }
});

test('a client that gives up has no request', async () => {
  const { stream, request } = setUp();
  stream.receive(frame(payload));
  stream.lose();
  assert.equal(await request, undefined);
});

test('the answer is one message and OK', () => {
  const { stream, call } = setUp();
  respond(call, StatusSchema, message);
  assert.deepEqual(
    payloadsOf(stream.written).map((bytes) => fromBinary(StatusSchema, bytes)),
    [message],
  );
  assert.equal(stream.trailers?.['grpc-status'], '0');
});
