import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { FakeCallSession } from '../../test/support/doubles/call_session.ts';
import { frame, payloadsOf } from '../../test/support/doubles/grpc_frames.ts';
import { FakeHttp2Stream } from '../../test/support/doubles/http2_stream.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { USUAL_MESSAGES } from './message_reader.ts';
import { ServerCall } from './server_call.ts';
import { OK } from './status.ts';

function setUp(more: { compress?: boolean; headers?: Record<string, string> } = {}) {
  const clock = new FakeClock();
  const session = new FakeCallSession(clock);
  const stream = new FakeHttp2Stream();
  const headers = { 'content-type': 'application/grpc+proto', ...more.headers };
  const call = new ServerCall(stream, headers, session, '/s/M', more.compress ?? false, {
    messages: USUAL_MESSAGES,
    requests: { known: USUAL_MESSAGES, stranger: USUAL_MESSAGES },
    onDefect(_, error) {
      heard.push(`defect ${error}`);
      call.end({ code: StatusCode.Internal, message: 'internal error' });
    },
  });
  const heard: string[] = [];
  const sink = {
    request: (payload: Buffer) => void heard.push(`request ${payload}`),
    requestsDone: () => void heard.push('done'),
    cancelled: () => void heard.push('cancelled'),
  };
  return { clock, session, stream, call, heard, sink, receive: () => call.receive(sink) };
}

const failed = { code: StatusCode.NotFound, message: 'für %' };

test('requests arrive in order, and then their end', () => {
  const { stream, heard, receive } = setUp({ headers: { 'grpc-encoding': 'gzip' } });
  receive();
  stream.receive(Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'), { gzip: true })]));
  stream.receiveEnd();
  assert.deepEqual(heard, ['request a', 'request b', 'done']);
});

test('nothing is inflated for a client that has not said that it compresses', () => {
  for (const headers of [{}, { 'grpc-encoding': 'identity' }]) {
    const { stream, heard, receive } = setUp({ headers });
    receive();
    stream.receive(Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'), { gzip: true })]));
    assert.deepEqual(heard, ['request a', 'cancelled']);
    assert.equal(stream.trailers?.['grpc-status'], '13');
    assert.equal(stream.trailers?.['grpc-message'], 'grpc: compressed flag set with identity or empty encoding');
  }
});

test('headers leave with the first message, trailers with the end', () => {
  const { stream, call, receive } = setUp();
  receive();
  assert.deepEqual(stream.sent, []);
  call.write(Buffer.from('one'));
  call.writeFrames(frame(Buffer.from('two')));
  call.end(failed);
  assert.deepEqual(stream.sent, ['headers', 'data', 'data', 'trailers']);
  assert.deepEqual(payloadsOf(stream.written).map(String), ['one', 'two']);
  assert.deepEqual(stream.headers, { ':status': 200, 'content-type': 'application/grpc+proto' });
  assert.deepEqual(stream.trailers, { 'grpc-status': '5', 'grpc-message': 'f%C3%BCr %25' });
});

test('an answer without messages is a single block of headers', () => {
  const { stream, call } = setUp({ headers: { 'content-type': 'application/grpc' } });
  call.end(OK);
  assert.deepEqual(stream.sent, ['headers']);
  assert.deepEqual(stream.trailers, {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': '0',
    'grpc-message': '',
  });
});

test('messages are compressed for who compresses, and the headers say so', () => {
  const { stream, call } = setUp({ compress: true });
  call.write(Buffer.from('message'));
  assert.equal(stream.headers?.['grpc-encoding'], 'gzip');
  assert.equal(stream.written[0], 1);
  assert.equal(stream.written.readUInt32BE(1), stream.written.length - 5);
  assert.equal(gunzipSync(stream.written.subarray(5)).toString(), 'message');
});

test('only the first end counts, and nothing is written after it', () => {
  const { stream, call, heard, receive } = setUp();
  receive();
  call.write(Buffer.from('one'));
  call.end(failed);
  call.end(OK);
  assert.equal(call.write(Buffer.from('two')), true);
  stream.receive(frame(Buffer.from('late')));
  stream.receiveEnd();
  stream.lose();
  assert.deepEqual(stream.sent, ['headers', 'data', 'trailers']);
  assert.equal(stream.trailers?.['grpc-status'], '5');
  assert.deepEqual(heard, []);
  assert.equal(call.over, true);
});

test('a client that leaves is reported once, and nothing is sent to it', () => {
  const { stream, call, heard, receive } = setUp();
  receive();
  let over = 0;
  call.onOver(() => over++);
  stream.lose();
  call.end(OK);
  call.write(Buffer.from('x'));
  assert.deepEqual(heard, ['cancelled']);
  assert.deepEqual(stream.sent, []);
  assert.equal(over, 1);
});

test('a client that has left before anybody read is reported at once', () => {
  const { stream, heard, receive } = setUp();
  stream.lose();
  receive();
  assert.deepEqual(heard, ['cancelled']);
});

test('ending the call of a client that has left does nothing', () => {
  const { stream, call } = setUp();
  stream.lose();
  call.end(OK);
  assert.deepEqual(stream.sent, []);
});

test('who waits for the end of a call hears of it, also afterwards', () => {
  const { call } = setUp();
  let over = 0;
  call.onOver(() => over++);
  call.end(OK);
  assert.equal(over, 1);
  call.onOver(() => over++);
  assert.equal(over, 2);
});

test('a client that leaves in the middle of a message is told so', () => {
  const { stream, heard, receive } = setUp();
  receive();
  stream.receive(frame(Buffer.from('abc')).subarray(0, 6));
  stream.receiveEnd();
  assert.equal(stream.trailers?.['grpc-status'], '13');
  assert.equal(stream.trailers?.['grpc-message'], 'unexpected EOF');
  assert.deepEqual(heard, ['cancelled']);
});

test('a message that is too large ends the call', () => {
  const { stream, heard, receive } = setUp();
  receive();
  stream.receive(Buffer.from([0, 0, 0x40, 0, 1]));
  assert.equal(stream.trailers?.['grpc-status'], '8');
  assert.deepEqual(heard, ['cancelled']);
});

test('a deadline ends the call in its time, and leaves no timer otherwise', () => {
  const { stream, clock, heard, receive } = setUp({ headers: { 'grpc-timeout': '2S' } });
  receive();
  clock.advance(1999);
  assert.deepEqual(heard, []);
  clock.advance(1);
  assert.deepEqual(heard, ['cancelled']);
  assert.equal(stream.trailers?.['grpc-status'], '4');
  assert.equal(stream.trailers?.['grpc-message'], 'context deadline exceeded');

  const inTime = setUp({ headers: { 'grpc-timeout': '2S' } });
  inTime.receive();
  inTime.stream.receiveEnd();
  inTime.call.end(OK);
  assert.equal(inTime.clock.pendingTimers, 0);
});

test('a pause holds requests and their end, however far they have come', () => {
  const { stream, call, heard, sink } = setUp();
  call.receive({
    ...sink,
    request(payload) {
      sink.request(payload);
      call.pause();
    },
  });
  stream.receive(Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'))]));
  stream.receiveEnd();
  assert.deepEqual(heard, ['request a']);
  call.resume();
  assert.deepEqual(heard, ['request a', 'request b']);
  call.resume();
  assert.deepEqual(heard, ['request a', 'request b', 'done']);
});

test('an end that was seen while paused is delivered by resume', () => {
  const { stream, call, heard, receive } = setUp();
  receive();
  stream.receive(frame(Buffer.from('a')));
  call.pause();
  stream.receiveEnd();
  assert.deepEqual(heard, ['request a']);
  call.resume();
  assert.deepEqual(heard, ['request a', 'done']);
});

test('a writer hears when to wait, and when to go on', () => {
  const { stream, call } = setUp();
  let drained = 0;
  call.onDrain(() => assert.fail('replaced'));
  call.onDrain(() => drained++);
  assert.equal(call.write(Buffer.from('a')), true);
  stream.ready = false;
  assert.equal(call.write(Buffer.from('a')), false);
  stream.drain();
  assert.equal(drained, 1);
});

test('metadata has its first value', () => {
  const { call } = setUp({ headers: { a: '1' } });
  assert.equal(call.metadata('a'), '1');
  assert.equal(call.metadata('b'), undefined);
});

test('a defect of whoever reads costs the call, not the process', () => {
  const { call, stream, heard } = setUp();
  call.receive({
    request: () => {
      throw new TypeError('oops');
    },
    requestsDone: () => {},
    cancelled: () => void heard.push('cancelled'),
  });
  stream.receive(frame(Buffer.from('a')));
  assert.deepEqual(heard, ['defect TypeError: oops', 'cancelled']);
  assert.equal(stream.trailers?.['grpc-status'], '13');
});

test('a call whose client goes before anybody reads is over', () => {
  const { call, stream, heard, receive } = setUp();
  let over = 0;
  call.onOver(() => over++);
  stream.lose();
  assert.equal(over, 1);
  receive();
  assert.deepEqual([heard, over], [['cancelled'], 1]);
});

test('a client that is done before anybody reads is heard of', () => {
  const { stream, heard, receive } = setUp();
  stream.receiveEnd();
  assert.deepEqual(heard, []);
  receive();
  assert.deepEqual(heard, ['done']);
});

test('the client’s correlation id is kept, even once reading has begun', () => {
  const { call, receive } = setUp({ headers: { 'x-gitlab-correlation-id': 'from-rails', 'x-request-id': 'other' } });
  receive();
  assert.equal(call.correlationId(), 'from-rails');
  assert.equal(setUp({ headers: { 'x-request-id': 'from-curl' } }).call.correlationId(), 'from-curl');
});

test('without a valid one it is made, once', () => {
  const { call, receive } = setUp({ headers: { 'x-request-id': 'not "valid"' } });
  const id = call.correlationId();
  receive();
  assert.match(id, /^[0-9A-Z]{26}$/);
  assert.equal(call.correlationId(), id);
});
