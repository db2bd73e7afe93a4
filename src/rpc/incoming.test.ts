import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { onConnectionAge } from './connection.ts';
import { universalRequest } from './incoming.ts';

function request(headers: Record<string, string | string[]>, target = '/s/M') {
  const answer = new EventEmitter();
  const incoming = { httpVersion: '2.0', method: 'POST', target, headers, body: Readable.from([]), answer };
  return { incoming, answer };
}

test('whatever host the client says, the URL is one', () => {
  for (const target of ['/s/M', '/s/M?a=%&b[=1', '/s/M?//x:99999']) {
    const { incoming } = request({ ':authority': 'a:99999', host: '[' }, target);
    const { url } = universalRequest(incoming);
    assert.ok(url.endsWith(target));
    assert.equal(new URL(url).pathname, '/s/M');
  }
});

test('headers keep their values, pseudo-headers are left out', () => {
  const { incoming } = request({ ':path': '/s/M', authorization: 'Bearer  x', many: ['1', '2'] });
  const { header } = universalRequest(incoming);
  assert.deepEqual(Object.fromEntries(header), { authorization: 'Bearer  x', many: '1, 2' });
});

test('who does not compress his request gets nothing compressed, in gRPC', () => {
  const accepts = { 'grpc-accept-encoding': 'gzip' };
  const accepted = (headers: Record<string, string>) =>
    universalRequest(request({ ...accepts, ...headers }).incoming).header.get('grpc-accept-encoding');
  assert.equal(accepted({ 'content-type': 'application/grpc' }), null);
  assert.equal(accepted({ 'content-type': 'application/grpc', 'grpc-encoding': 'identity' }), null);
  assert.equal(accepted({ 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' }), 'gzip');
  assert.equal(accepted({ 'content-type': 'application/grpc-web+proto' }), 'gzip');
});

test('a client that goes cancels its call', () => {
  const { incoming, answer } = request({});
  const { signal } = universalRequest(incoming);
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
  universalRequest({ ...incoming, onAge }).contextValues?.get(onConnectionAge)(f);
  assert.deepEqual(listeners, [f]);
  assert.doesNotThrow(() => universalRequest(incoming).contextValues?.get(onConnectionAge)(f)());
});
