import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResponseHead } from './response_head.ts';
import { ResponseReader } from './response_reader.ts';

/** What a reader says of pieces that come one after the other, and of the end of the connection. */
function read(pieces: readonly (string | Buffer)[], connectionEnds = false) {
  let head: ResponseHead | undefined;
  let body = '';
  let ends = 0;
  const reader = new ResponseReader({
    head(told) {
      head = told;
    },
    data(piece) {
      body += piece.toString('latin1');
    },
    end() {
      ends++;
    },
  });
  for (const piece of pieces) reader.push(Buffer.from(piece as string, 'latin1'));
  const complete = connectionEnds ? reader.ended() : ends === 1;
  assert.equal(ends, complete ? 1 : 0);
  return { ...head, body, complete };
}

const answers: readonly [what: string, bytes: string, body: string][] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'hello'],
  ['no body', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', ''],
  ['204, which has none', 'HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n', ''],
  ['304, which has none whatever it says', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', ''],
  [
    'chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n00A;x=y\r\nlo, world!\r\n0\r\n\r\n',
    'hello, world!',
  ],
  ['a trailer', 'HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1 \r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n', 'x'],
  [
    'hints before it',
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx',
    'x',
  ],
];
for (const [what, bytes, body] of answers) {
  test(`an answer with ${what}, however it is cut`, () => {
    for (let size = 1; size <= bytes.length; size++) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.slice(i * size, (i + 1) * size),
      );
      const seen = read(pieces);
      assert.ok(seen.complete, `in pieces of ${size}`);
      assert.equal(seen.body, body);
    }
  });
}

test('names are in lower case, values without space around them, and joined', () => {
  const { headers, status } = read(['HTTP/1.1 201 \r\nX-A:  1 \r\nx-a:2\r\nEmpty:\r\n\r\n']);
  assert.equal(status, 201);
  assert.deepEqual({ ...headers }, { 'x-a': '1, 2', empty: '' });
});

test('a body without a length ends with the connection, and only then', () => {
  assert.deepEqual(read(['HTTP/1.1 200 OK\r\n\r\nab', 'c'], true).body, 'abc');
  assert.equal(read(['HTTP/1.1 200 OK\r\n\r\nab', 'c']).complete, false);
});

test('an answer that is cut off is not complete', () => {
  for (const [, bytes] of answers) {
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(read([bytes.slice(0, length)], true).complete, false, JSON.stringify(bytes.slice(0, length)));
    }
  }
});

test('a connection is used again only if both sides keep it', () => {
  const keeps = (first: string, ...lines: string[]) =>
    read([`${[first, ...lines].join('\r\n')}\r\n\r\n`]).keepsConnection;
  const none = 'Content-Length: 0';
  assert.equal(keeps('HTTP/1.1 200 OK', none), true);
  assert.equal(keeps('HTTP/1.1 200 OK', none, 'Connection: Keep-Alive, x'), true);
  assert.equal(keeps('HTTP/1.1 200 OK', none, 'Connection: x, Close'), false);
  assert.equal(keeps('HTTP/1.0 200 OK', none), false);
  assert.equal(keeps('HTTP/1.0 200 OK', none, 'Connection: keep-alive'), true);
  assert.equal(keeps('HTTP/1.1 200 OK'), false, 'the body ends with the connection');
  assert.equal(keeps('HTTP/1.1 200 OK', none, 'Transfer-Encoding: chunked'), false, 'somebody may have smuggled');
});

const refused: readonly [what: string, bytes: string, message: RegExp][] = [
  ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', /does not begin as one of HTTP/],
  ['a TLS alert', '\x15\x03\x01\0\x02\x02\x46\r\n\r\n', /does not begin as one of HTTP/],
  ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n', /does not begin as one of HTTP/],
  ['another protocol', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n', /changes the protocol/],
  ['a folded line', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', /header line/],
  ['a name with space', 'HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n', /header line/],
  ['a bare newline', 'HTTP/1.1 200 OK\r\nA: b\nContent-Length: 1\r\n\r\n', /header line/],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', /Content-Length/],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n', /Content-Length/],
  ['an unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', /Transfer-Encoding/],
  ['a chunk without size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n', /without a size/],
  ['a chunk that is too long', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc', /longer than it says/],
  [
    'a chunk line without end',
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(5000)}`,
    /too long a chunk line/,
  ],
  ['more than one answer', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n', /longer than it says/],
  ['a head without end', `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(200_000)}`, /head of the answer is too long/],
  [
    'a trailer without end',
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${'A: b\r\n'.repeat(200_000)}`,
    /trailer .* too long/,
  ],
];
for (const [what, bytes, message] of refused) {
  test(`${what} is no answer`, () => {
    assert.throws(() => read([bytes]), { message });
  });
}
