import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { requestBytes } from './request_bytes.ts';

const GET = { method: 'GET', target: '/a?b=c', headers: { 'X-One': '1', 'X-Two': ['2', '3'] }, body: undefined };

test('a request without a body is text', () => {
  assert.equal(
    requestBytes(GET, 'http://gitlab', ['Host: gitlab']),
    'GET http://gitlab/a?b=c HTTP/1.1\r\nHost: gitlab\r\nX-One: 1\r\nX-Two: 2\r\nX-Two: 3\r\nConnection: keep-alive\r\n\r\n',
  );
});

test('a body stands behind the head, and may hold anything', () => {
  const body = Buffer.from('\r\n\u010d');
  const bytes = requestBytes({ ...GET, method: 'POST', body }, '', []) as Buffer;
  assert.ok(bytes.toString('latin1').startsWith('POST /a?b=c HTTP/1.1\r\n'));
  assert.deepEqual(bytes.subarray(-body.length), body);
});

// The last two would be CR and LF, were they cut to a byte.
for (const character of ['\r', '\n', '\0', '\u007f', '\u010d', '\u010a'])
  test(`${JSON.stringify(character)} is not sent in a head`, () => {
    const said = `x${character}Injected: 1`;
    for (const request of [
      { ...GET, target: `/${said}` },
      { ...GET, headers: { 'X-One': said } },
      { ...GET, headers: { 'X-Two': ['2', said] } },
    ])
      assert.throws(() => requestBytes(request, '', []), { name: 'TypeError', message: /cannot be sent/ });
    assert.throws(() => requestBytes(GET, '', [`Host: ${said}`]), TypeError);
  });

test('a body that is a stream is not taken', () => {
  assert.throws(() => requestBytes({ ...GET, body: Readable.from([]) }, '', []), TypeError);
});
