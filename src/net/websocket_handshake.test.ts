import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { acceptHandshake, refuseHandshake, selectSubprotocol } from './websocket_handshake.ts';

const good = {
  host: 'kas.example',
  connection: 'keep-alive, Upgrade',
  upgrade: 'WebSocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

function request(headers: Record<string, string | undefined>, more: Partial<IncomingMessage> = {}): IncomingMessage {
  const given = Object.entries({ ...good, ...headers }).filter(([, value]) => value !== undefined);
  const line = { method: 'GET', httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1, ...more };
  return { ...line, headers: Object.fromEntries(given) } as unknown as IncomingMessage;
}

const status = (headers: Record<string, string | undefined>, more: Partial<IncomingMessage> = {}) =>
  refuseHandshake(request(headers, more))?.status;

test('a handshake with all it needs is accepted', () => {
  assert.equal(status({}), undefined);
  assert.equal(status({ origin: 'https://KAS.example/path' }), undefined);
  assert.equal(status({ host: 'kas.example:80', origin: 'http://kas.example:80' }), undefined);
});

test('the first thing that is wrong decides', () => {
  const all = {
    connection: undefined,
    upgrade: undefined,
    'sec-websocket-version': '8',
    'sec-websocket-key': undefined,
  };
  const old = { httpVersion: '1.0', httpVersionMinor: 0 };
  assert.match(refuseHandshake(request(all, old))?.message ?? '', /at least HTTP\/1\.1: "HTTP\/1\.0"$/);
  assert.match(refuseHandshake(request(all))?.message ?? '', /Connection header "" does not contain Upgrade$/);
  assert.equal(status({ ...all, connection: 'Upgrade' }), 426);
  assert.equal(status({ ...all, connection: 'Upgrade', upgrade: 'websocket' }, { method: 'POST' }), 405);
  assert.equal(status({ ...all, connection: 'Upgrade', upgrade: 'websocket' }), 400);
  assert.equal(status({ 'sec-websocket-key': undefined, origin: 'http://evil.example' }), 400);
});

test('a foreign origin is refused, also one that only looks like ours', () => {
  for (const origin of ['http://evil.example', 'null', 'http://kas.example@evil.example', 'http://kas.example:8080']) {
    assert.equal(status({ origin }), 403, origin);
  }
});

test('the subprotocol is found among others and keeps its spelling', () => {
  const select = (offer: string | undefined) => selectSubprotocol(request({ 'sec-websocket-protocol': offer }));
  assert.equal(select('foo, ws-tunnel'), 'ws-tunnel');
  assert.equal(select('WS-TUNNEL'), 'WS-TUNNEL');
  assert.equal(select('foo'), '');
  assert.equal(select(undefined), '');
});

test('the answer proves that the key was read', () => {
  const head = acceptHandshake(request({}), 'ws-tunnel', 'gitlab-kas/v1/abc');
  assert.match(head, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/); // RFC 6455, 1.3
  assert.match(head, /\r\nSec-WebSocket-Protocol: ws-tunnel\r\nServer: gitlab-kas\/v1\/abc\r\n/);
  assert.ok(head.endsWith('\r\n\r\n'));
  assert.doesNotMatch(acceptHandshake(request({}), '', 'x'), /Sec-WebSocket-Protocol/);
});
