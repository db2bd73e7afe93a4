import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { ClientHttp2Stream } from 'node:http2';
import { test } from 'node:test';
import { frame } from '../../test/support/doubles/grpc_frames.ts';
import { readAnswers } from './client_call.ts';

/** A stream whose server is played by the test. */
class PlayedStream extends EventEmitter {
  closed = false;
  sent: Uint8Array | undefined;

  end(bytes: Uint8Array): void {
    this.sent = bytes;
  }

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

function setUp(receive: (payload: Buffer) => boolean = () => false) {
  const stream = new PlayedStream();
  const outcome = readAnswers(stream as unknown as ClientHttp2Stream, Buffer.from('ask'), receive);
  const head = () => stream.emit('response', { ':status': 200, 'content-type': 'application/grpc' });
  return { stream, outcome, head };
}

test('answers arrive in order, plain or compressed, and then the status', async () => {
  const got: string[] = [];
  const { stream, outcome, head } = setUp((payload) => got.push(String(payload)) === 0);
  assert.deepEqual(stream.sent, frame(Buffer.from('ask')));
  head();
  stream.emit('data', Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'), { gzip: true })]));
  stream.emit('trailers', { 'grpc-status': '5', 'grpc-message': 'no%20such', 'grpc-status-details-bin': 'AQI' });
  stream.emit('close');
  assert.deepEqual(got, ['a', 'b']);
  const status = { code: 5, message: 'no such', details: Buffer.from([1, 2]) };
  assert.deepEqual(await outcome, { kind: 'ended', status });
});

test('a status without answers stands in the only headers', async () => {
  const { stream, outcome } = setUp();
  stream.emit('response', {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': '16',
    'grpc-message': 'x',
  });
  stream.emit('close');
  assert.deepEqual(await outcome, { kind: 'ended', status: { code: 16, message: 'x' } });
});

test('who has read enough asks for no more', async () => {
  const { stream, outcome, head } = setUp(() => true);
  head();
  stream.emit('data', Buffer.concat([frame(Buffer.from('a')), frame(Buffer.from('b'))]));
  assert.equal(stream.closed, true);
  assert.deepEqual(await outcome, { kind: 'enough' });
});

test('a stream that ends without a status is broken', async () => {
  const { stream, outcome, head } = setUp();
  head();
  stream.emit('error', new Error('reset'));
  stream.emit('close');
  assert.deepEqual(await outcome, { kind: 'broken', reason: 'reset' });
});

test('an answer that is no gRPC says what came instead', async () => {
  const { stream, outcome } = setUp();
  stream.emit('response', { ':status': 503, 'content-type': 'text/html' });
  const message = 'unexpected HTTP status code received from server: 503; content-type "text/html"';
  assert.deepEqual(await outcome, { kind: 'ended', status: { code: 14, message } });
});

test('what the reader of answers throws is thrown to the caller, and the stream closed', async () => {
  const { stream, outcome, head } = setUp(() => {
    throw new TypeError('oops');
  });
  head();
  stream.emit('data', frame(Buffer.from('a')));
  assert.equal(stream.closed, true);
  await assert.rejects(outcome, new TypeError('oops'));
});
