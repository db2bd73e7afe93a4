import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asGoWouldAnswer, goTrailers } from './grpc_answer.ts';

const message = (text: string) => goTrailers(new Headers({ 'grpc-message': encodeURIComponent(text) }))['grpc-message'];

test('there is always a message, and the other trailers stay', () => {
  assert.deepEqual(goTrailers(new Headers({ 'grpc-status': '0', 'x-more': '1' })), {
    'grpc-status': '0',
    'x-more': '1',
    'grpc-message': '',
  });
});

test('messages are encoded no more than they must be', () => {
  assert.equal(message('JWT validation failed'), 'JWT validation failed');
  assert.equal(message('50 % of "é"\n'), '50 %25 of "%C3%A9"%0A');
});

test('what the library finds by itself is said as servers in Go say it', () => {
  assert.equal(
    message('parse binary: premature EOF'),
    'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
  );
  assert.equal(
    message('unknown compression "snappy": supported encodings are gzip,br'),
    'grpc: Decompressor is not installed for grpc-encoding "snappy"',
  );
});

test('a request that is missing, or there twice is Internal', () => {
  for (const [text, expected] of [
    ['protocol error: missing input message for unary method', 'grpc: received no request message'],
    ['protocol error: received extra input message for unary method', 'grpc: received more than one request message'],
    ['protocol error: anything else', 'protocol error: anything else'],
  ] as const) {
    const trailers = goTrailers(new Headers({ 'grpc-status': '12', 'grpc-message': encodeURIComponent(text) }));
    assert.deepEqual(trailers, { 'grpc-status': '13', 'grpc-message': expected });
  }
});

test('the content type is the request’s', () => {
  const header = new Headers({ 'content-type': 'application/grpc+proto' });
  const response = asGoWouldAnswer({ status: 200, header }, 'application/grpc');
  assert.equal(response.header?.get('content-type'), 'application/grpc');
});
