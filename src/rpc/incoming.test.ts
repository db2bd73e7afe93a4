import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { frame } from '../../test/support/doubles/grpc_frames.ts';
import { USUAL_MESSAGES } from '../grpc/message_reader.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { onConnectionAge } from './connection.ts';
import { universalRequest } from './incoming.ts';

const clock = new FakeClock();

function request(headers: Record<string, string | string[]>, target = '/s/M') {
  const answer = new EventEmitter();
  const incoming = { httpVersion: '2.0', method: 'POST', target, headers, body: Readable.from([]), answer };
  return { incoming, answer };
}

test('whatever host the client says, the URL is one', () => {
  for (const target of ['/s/M', '/s/M?a=%&b[=1', '/s/M?//x:99999']) {
    const { incoming } = request({ ':authority': 'a:99999', host: '[' }, target);
    const { url } = universalRequest(incoming, clock, USUAL_MESSAGES);
    assert.ok(url.endsWith(target));
    assert.equal(new URL(url).pathname, '/s/M');
  }
});

test('headers keep their values, pseudo-headers are left out', () => {
  const { incoming } = request({ ':path': '/s/M', authorization: 'Bearer  x', many: ['1', '2'] });
  const { header } = universalRequest(incoming, clock, USUAL_MESSAGES);
  assert.deepEqual(Object.fromEntries(header), { authorization: 'Bearer  x', many: '1, 2' });
});

test('who does not compress his request gets nothing compressed, in gRPC', () => {
  const accepts = { 'grpc-accept-encoding': 'gzip' };
  const accepted = (headers: Record<string, string>) =>
    universalRequest(request({ ...accepts, ...headers }).incoming, clock, USUAL_MESSAGES).header.get(
      'grpc-accept-encoding',
    );
  assert.equal(accepted({ 'content-type': 'application/grpc' }), null);
  assert.equal(accepted({ 'content-type': 'application/grpc', 'grpc-encoding': 'identity' }), null);
  assert.equal(accepted({ 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' }), 'gzip');
  assert.equal(accepted({ 'content-type': 'application/grpc-web+proto' }), 'gzip');
});

test('whatever codec gRPC names, it is protobuf, but for JSON', () => {
  for (const [contentType, expected] of [
    ['application/grpc', 'application/grpc+proto'],
    ['application/grpc;charset=utf-8', 'application/grpc+proto'],
    ['application/grpc+foo', 'application/grpc+proto'],
    ['application/grpc+', 'application/grpc+proto'],
    ['application/grpc+json', 'application/grpc+json'],
    ['application/grpc+json; charset=utf-8', 'application/grpc+json'],
    ['application/grpc+jsonish', 'application/grpc+proto'],
    ['application/grpc-web+foo', 'application/grpc-web+foo'],
    ['application/json', 'application/json'],
  ] as const) {
    const { incoming } = request({ 'content-type': contentType });
    assert.equal(universalRequest(incoming, clock, USUAL_MESSAGES).header.get('content-type'), expected, contentType);
  }
});

test('a client that goes cancels its call', () => {
  const { incoming, answer } = request({});
  const { signal } = universalRequest(incoming, clock, USUAL_MESSAGES);
  assert.equal(signal.aborted, false);
  answer.emit('close');
  assert.equal(ConnectError.from(signal.reason).code, Code.Canceled);
});

test('handlers learn of the connection’s age', () => {
  const listeners: (() => void)[] = [];
  const { incoming } = request({});
  const onAge = (f: () => void) => {
    listeners.push(f);
    return () => {};
  };
  const f = () => {};
  universalRequest({ ...incoming, onAge }, clock, USUAL_MESSAGES).contextValues?.get(onConnectionAge)(f);
  assert.deepEqual(listeners, [f]);
  assert.doesNotThrow(() => universalRequest(incoming, clock, USUAL_MESSAGES).contextValues?.get(onConnectionAge)(f)());
});

for (const [contentType, header, value] of [
  ['application/grpc', 'grpc-timeout', '250m'],
  ['application/grpc-web+proto', 'grpc-timeout', '250m'],
  ['application/connect+json', 'connect-timeout-ms', '250'],
] as const) {
  test(`a request that does not arrive in time fails, as ${contentType}`, async () => {
    const { incoming } = request({ 'content-type': contentType, [header]: value });
    const body = new Readable({ read() {} });
    const { body: read } = universalRequest({ ...incoming, body }, clock, USUAL_MESSAGES);
    const pieces = (read as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    const [a, b] = [frame(Buffer.from('a')), frame(Buffer.from('b'))];
    body.push(a);
    assert.deepEqual((await pieces.next()).value, a);
    const next = pieces.next();
    clock.advance(249);
    body.push(b);
    assert.deepEqual((await next).value, b);
    const late = pieces.next();
    clock.advance(1);
    await assert.rejects(late, { rawMessage: 'context deadline exceeded', code: Code.DeadlineExceeded });
    await assert.rejects(pieces.next(), { code: Code.DeadlineExceeded });
    assert.equal(body.destroyed, false, 'the answer goes out on it');
  });
}

test('a unary request of Connect that does not arrive in time fails', async () => {
  const { incoming } = request({ 'content-type': 'application/json', 'connect-timeout-ms': '250' });
  const body = new Readable({ read() {} });
  const { body: read } = universalRequest({ ...incoming, body }, clock, USUAL_MESSAGES);
  const message = (read as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().next();
  body.push('{');
  await turn();
  clock.advance(250);
  await assert.rejects(message, { rawMessage: 'context deadline exceeded', code: Code.DeadlineExceeded });
  assert.equal(body.destroyed, false, 'the answer goes out on it');
});

test('the deadline of a call that is over is forgotten; one that makes no sense is none', () => {
  const timers = clock.pendingTimers;
  const { incoming, answer } = request({ 'content-type': 'application/grpc', 'grpc-timeout': '1S' });
  universalRequest(incoming, clock, USUAL_MESSAGES);
  assert.equal(clock.pendingTimers, timers + 1);
  answer.emit('close');
  assert.equal(clock.pendingTimers, timers);
  universalRequest(
    request({ 'content-type': 'application/grpc', 'grpc-timeout': 'soon' }).incoming,
    clock,
    USUAL_MESSAGES,
  );
  universalRequest(
    request({ 'content-type': 'application/json', 'connect-timeout-ms': '-1' }).incoming,
    clock,
    USUAL_MESSAGES,
  );
  assert.equal(clock.pendingTimers, timers);
});
