// What Go puts on the wire where JavaScript's own functions would put something else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalHeaderName, responseHeaderMap, writeRequestHead } from '../../support/agent/go_headers.ts';
import { encodePath, encodeQuery } from '../../support/agent/go_url.ts';
import { type ResponseHead, ResponseParser } from '../../support/agent/http_response_parser.ts';

test('paths', () => {
  assert.equal(encodePath('/api/v1//a/../b'), '/api/v1//a/../b');
  assert.equal(encodePath("/a:b@c!$&'()*,;=~"), '/a:b@c%21$&%27%28%29%2A,;=~');
  assert.equal(encodePath('/100% ü?#\\'), '/100%25%20%C3%BC%3F%23%5C');
});

test('queries', () => {
  const query = new Map([
    ['f', ['a b']],
    ['a', ['b+c', '']],
    ["e'", ['&!']],
  ]);
  assert.equal(encodeQuery(query), 'a=b%2Bc&a=&e%27=%26%21&f=a+b');
  assert.equal(encodeQuery(new Map()), '');
});

test('header names', () => {
  assert.deepEqual(['x-FOO-bar', 'etag', 'x_under-SCORE', 'a b-c', '-x'].map(canonicalHeaderName), [
    'X-Foo-Bar',
    'Etag',
    'X_under-Score',
    'a b-c',
    '-X',
  ]);
});

test('request heads: order, what is left out, what is refused', () => {
  const headers = new Map([
    ['X-B', ['2', '3']],
    ['Accept', ['*/*']],
    ['Content-Length', ['5']],
    ['x-lower', ['ü']],
  ]);
  const common = { method: 'POST', target: '/', host: 'k', headers, framing: 'chunked', askForGzip: true } as const;
  assert.equal(
    writeRequestHead(common).toString(),
    'POST / HTTP/1.1\r\nHost: k\r\nUser-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\nX-B: 2\r\nX-B: 3\r\nx-lower: ü\r\nAccept-Encoding: gzip\r\n\r\n',
  );
  assert.throws(
    () => writeRequestHead({ ...common, headers: new Map([['a b', ['']]]) }),
    /invalid header field name "a b"/,
  );
  assert.throws(
    () => writeRequestHead({ ...common, headers: new Map([['A', ['x\ny']]]) }),
    /invalid header field value for "A"/,
  );
});

test('response header maps', () => {
  const pairs = [
    ['x-a', '1'],
    ['X-A', '2'],
    ['Transfer-Encoding', 'chunked'],
    ['Trailer', 'X-T'],
    ['Content-Length', '3'],
  ] as const;
  assert.deepEqual([...responseHeaderMap(pairs, true)], [['X-A', ['1', '2']]]);
  assert.deepEqual([...responseHeaderMap(pairs, false).keys()], ['X-A', 'Trailer', 'Content-Length']);
});

const answers: [what: string, bytes: string, body: string, reusable: boolean | undefined][] = [
  ['content-length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 'hello', true],
  [
    'chunked with an extension and trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 1\r\n\r\n',
    'hello',
    true,
  ],
  ['until the end', 'HTTP/1.1 200 OK\r\n\r\nhello', 'hello', false],
  ['after hints', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n', '', true],
  ['closing', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', '', false],
  ['HTTP/1.0', 'HTTP/1.0 200\r\nContent-Length: 1\r\n\r\nx', 'x', false],
  ['cut off', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello', 'hello', undefined],
];
for (const [what, bytes, body, reusable] of answers) {
  for (const size of [1, 7, 1000]) {
    test(`responses, ${what}, ${size} bytes at a time`, () => {
      let head: ResponseHead | undefined;
      let text = '';
      let ended: boolean | undefined;
      const parser = new ResponseParser({
        head: (h) => {
          assert.equal(head, undefined);
          head = h;
        },
        informational: () => {},
        data: (chunk) => {
          text += chunk;
        },
        end: (again) => {
          ended = again;
        },
      });
      parser.expect('GET', false);
      for (let at = 0; at < bytes.length; at += size) parser.push(Buffer.from(bytes.slice(at, at + size)));
      assert.equal(parser.finish(), reusable !== undefined);
      assert.equal(text, body);
      assert.equal(ended, reusable);
      assert.match(head?.status ?? '', /^20[04]( OK| No Content)?$/);
    });
  }
}
