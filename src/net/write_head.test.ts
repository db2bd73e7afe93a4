import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';
import { test } from 'node:test';
import { writeHead } from './write_head.ts';

const headers = ['Content-Type', 'a/b', 'Set-Cookie', 'a=1', 'X', '1', 'set-cookie', 'b=2', 'Connection', 'close'];

test('over HTTP/1.1 all headers pass as they are', () => {
  let written: unknown;
  const response = { writeHead: (...args: unknown[]) => (written = args) };
  writeHead(response as unknown as ServerResponse, 201, headers);
  assert.deepEqual(written, [201, headers]);
});

test('over HTTP/2 several headers of one name are kept, those of the connection are not', () => {
  let written: unknown;
  const response = Object.create(Http2ServerResponse.prototype, {
    writeHead: { value: (...args: unknown[]) => (written = args) },
  }) as ServerResponse;
  writeHead(response, 201, [
    ...headers,
    'Keep-Alive',
    '1',
    'Transfer-Encoding',
    'chunked',
    'Upgrade',
    'x',
    'Proxy-Connection',
    'y',
  ]);
  assert.deepEqual(written, [201, { 'content-type': 'a/b', 'set-cookie': ['a=1', 'b=2'], x: '1' }]);
});
