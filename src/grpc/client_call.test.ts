import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame } from '../../test/support/doubles/grpc_frames.ts';
import type { StreamSink } from '../http2/stream.ts';
import { type AskedStream, readAnswers } from './client_call.ts';

/** A stream whose server is played by the test. */
class PlayedStream implements AskedStream {
  closed = false;
  sent: Uint8Array | undefined;
  sink: StreamSink | undefined;

  open(sink: StreamSink): void {
    this.sink = sink;
  }

  resume(): void {}

  write(bytes: Buffer): boolean {
    this.sent = bytes;
    return true;
  }

  end(): void {}

  reset(code: number): void {
    this.lose(code);
  }

  lose(code = 0): void {
    if (this.closed) return;
    this.closed = true;
    this.sink?.closed(code);
  }
}

function setUp(receive: (payload: Buffer) => boolean = () => false) {
  const stream = new PlayedStream();
  const outcome = readAnswers(stream, Buffer.from('ask'), receive);
  const head = () => stream.sink?.headers?.({ ':status': '200', 'content-type': 'application/grpc' });
  return { stream, outcome, head };
}

test('answers arrive in order, plain or compressed, and then the status', async () => {
  const got: string[] = [];
  const { stream, outcome, head } = setUp((payload) => got.push(String(payload)) === 0);
  assert.deepEqual(stream.sent, frame(Buffer.from('ask')));
  head();
  stream.sink?.data(Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'), { gzip: true })]));
  stream.sink?.trailers?.({ 'grpc-status': '5', 'grpc-message': 'no%20such', 'grpc-status-details-bin': 'AQI' });
  stream.lose();
  assert.deepEqual(got, ['a', 'b']);
  const status = { code: 5, message: 'no such', details: Buffer.from([1, 2]) };
  assert.deepEqual(await outcome, { kind: 'ended', status });
});

test('a status without answers stands in the only headers', async () => {
  const { stream, outcome } = setUp();
  stream.sink?.headers?.({
    ':status': '200',
    'content-type': 'application/grpc',
    'grpc-status': '16',
    'grpc-message': 'x',
  });
  stream.lose();
  assert.deepEqual(await outcome, { kind: 'ended', status: { code: 16, message: 'x' } });
});

test('who has read enough asks for no more', async () => {
  const { stream, outcome, head } = setUp(() => true);
  head();
  stream.sink?.data(Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'))]));
  assert.equal(stream.closed, true);
  assert.deepEqual(await outcome, { kind: 'enough' });
});

test('a stream that ends without a status is broken', async () => {
  const { stream, outcome, head } = setUp();
  head();
  stream.lose(2);
  assert.deepEqual(await outcome, { kind: 'broken', reason: 'the stream was reset: INTERNAL_ERROR' });
});

test('an answer that is no gRPC says what came instead', async () => {
  const { stream, outcome } = setUp();
  stream.sink?.headers?.({ ':status': '503', 'content-type': 'text/html' });
  const message = 'unexpected HTTP status code received from server: 503; content-type "text/html"';
  assert.deepEqual(await outcome, { kind: 'ended', status: { code: 14, message } });
});

test('what the reader of answers throws is thrown to the caller, and the stream closed', async () => {
  const { stream, outcome, head } = setUp(() => {
    throw new TypeError('oops');
  });
  head();
  stream.sink?.data(frame(Buffer.from('a')));
  assert.equal(stream.closed, true);
  await assert.rejects(outcome, new TypeError('oops'));
});
