import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fields, Log } from '../../observability/log.ts';
import { ResponseHeaderFilter, type ResponseHeaders } from './response_headers.ts';

const VIA = 'gRPC/1.0 gitlab-kas/v0.0.0/00000000';
const NOBODY = { allowedOrigin: undefined, viaCookie: false };
const BROWSER = { allowedOrigin: undefined, viaCookie: true };

class LogOfNames implements Log {
  readonly debugEnabled = false;
  readonly names: unknown[] = [];
  debug(): void {}
  warn(): void {}
  error(): void {}
  info(message: string, fields?: Fields): void {
    assert.equal(message, 'Blocked Kubernetes API proxy response header');
    assert.match(String(fields?.hint), /extra_allowed_response_headers/);
    this.names.push(fields?.header);
  }
  with(): Log {
    return this;
  }
}

function filterOf(extraAllowed: string[] = []): { filter: ResponseHeaderFilter; log: LogOfNames } {
  const log = new LogOfNames();
  return { filter: new ResponseHeaderFilter({ via: VIA, extraAllowed, log }), log };
}

function names({ headers }: ResponseHeaders): string[] {
  return headers.filter((_, i) => i % 2 === 0);
}

function valuesOf({ headers }: ResponseHeaders, name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name);
}

test('listed names pass in their own case, others are named in the log once', () => {
  const { filter, log } = filterOf();
  const header: [string, string[]][] = [
    ['audit-id', ['a']],
    ['ETAG', ['"e"']],
    ['X-Secret', ['s']],
    ['x-secret', ['s']],
    ['Refresh', ['0; url=http://evil.example']],
  ];
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(filter.apply(200, header, NOBODY).headers, ['audit-id', 'a', 'ETAG', '"e"', 'Via', VIA]);
  }
  assert.deepEqual(log.names, ['X-Secret', 'Refresh']);
});

test('the configuration may let names pass', () => {
  const { filter } = filterOf(['x-secret', 'SERVER']);
  const { headers } = filter.apply(
    200,
    [
      ['X-Secret', ['a', 'b']],
      ['Server', ['kube/1']],
    ],
    NOBODY,
  );
  assert.deepEqual(headers, ['X-Secret', 'a', 'X-Secret', 'b', 'Server', 'kube/1', 'Via', VIA]);
});

test('some names never pass, whatever the configuration says', () => {
  const never = [
    'Set-Cookie',
    'NEL',
    'Report-To',
    'Reporting-Endpoints',
    'X-Accel-Redirect',
    'X-Accel-Buffering',
    'Gitlab-Unauthorized',
    'Access-Control-Allow-Origin',
    'Access-Control-Expose-Headers',
    'Transfer-Encoding',
    'Keep-Alive',
    'Connection',
    'Bad Name',
  ];
  const { filter } = filterOf(never);
  for (const name of never) {
    for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
      assert.deepEqual(filter.apply(200, [[spelling, ['x']]], NOBODY).headers, ['Via', VIA], spelling);
    }
  }
});

test('our CORS headers win, Vary is joined, Via is added', () => {
  const header: [string, string[]][] = [
    ['Access-Control-Allow-Origin', ['*']],
    ['Vary', ['Accept', 'Accept-Encoding']],
    ['Via', ['1.1 inner']],
  ];
  const got = filterOf().filter.apply(200, header, { allowedOrigin: 'http://gitlab.example', viaCookie: false });
  assert.deepEqual(valuesOf(got, 'access-control-allow-origin'), ['http://gitlab.example']);
  assert.deepEqual(valuesOf(got, 'access-control-allow-credentials'), ['true']);
  assert.deepEqual(valuesOf(got, 'vary'), ['Origin', 'Accept', 'Accept-Encoding']);
  assert.deepEqual(valuesOf(got, 'via'), ['1.1 inner', VIA]);
});

test('what Connection names is removed, wherever it stands', () => {
  const header: [string, string[]][] = [
    ['Etag', ['1']],
    ['Connection', ['etag, keep-alive', 'AGE']],
    ['Age', ['2']],
    ['Date', ['d']],
  ];
  assert.deepEqual(filterOf().filter.apply(200, header, NOBODY).headers, ['Date', 'd', 'Via', VIA]);
});

test('Upgrade belongs to the statuses that speak of it', () => {
  const header: [string, string[]][] = [
    ['Connection', ['Upgrade']],
    ['Upgrade', ['websocket']],
  ];
  const { filter } = filterOf();
  const switched = ['Connection', 'upgrade', 'Upgrade', 'websocket', 'Via', VIA];
  assert.deepEqual(filter.apply(101, header, NOBODY).headers, switched);
  assert.deepEqual(filter.apply(426, header, NOBODY).headers, switched);
  assert.deepEqual(filter.apply(200, header, NOBODY).headers, ['Via', VIA]);
});

test('a browser gets only types that it does not render', () => {
  const { filter } = filterOf();
  const safe = [
    'application/json',
    'application/json;stream=watch',
    'Application/JSON ; charset=utf-8',
    'application/yaml',
    'application/vnd.kubernetes.protobuf;stream=watch',
    'text/plain; charset=utf-8',
  ];
  for (const type of safe) {
    const got = filter.apply(200, [['content-type', [type]]], BROWSER);
    assert.deepEqual(got.headers, ['content-type', type, 'X-Content-Type-Options', 'nosniff', 'Via', VIA]);
  }
  const unsafe = [
    'text/html',
    'TEXT/HTML; charset=utf-8',
    'image/svg+xml',
    'application/xml',
    'application/json, text/html',
    'text/plain;a=b,text/html',
    'application/json\u000btext/html',
    'application/jsonp',
    '',
    ' ',
    'application/json\u00a0',
  ];
  for (const type of unsafe) {
    const got = filter.apply(200, [['Content-Type', [type]]], BROWSER);
    assert.deepEqual(valuesOf(got, 'content-type'), ['text/plain; charset=utf-8'], type);
    assert.deepEqual(valuesOf(filter.apply(200, [['Content-Type', [type]]], NOBODY), 'content-type').length, 1);
  }
});

test('a browser gets one type, however many there are and however they are spelt', () => {
  const { filter } = filterOf(['X-Content-Type-Options']);
  const several: [string, string[]][][] = [
    [['Content-Type', ['text/plain', 'text/html']]],
    [
      ['Content-Type', ['application/json']],
      ['content-type', ['text/html']],
    ],
    [
      ['content-TYPE', ['text/html']],
      ['Content-Type', ['application/json']],
    ],
    [['Content-Type', ['application/json', 'application/json']]],
    [['X-Content-Type-Options', ['sniff']]],
    [],
  ];
  for (const header of several) {
    const got = filter.apply(200, header, BROWSER);
    assert.deepEqual(valuesOf(got, 'content-type'), ['text/plain; charset=utf-8']);
    assert.deepEqual(valuesOf(got, 'x-content-type-options'), ['nosniff']);
  }
  const hidden: [string, string[]][] = [
    ['Content-Type', ['application/json']],
    ['Connection', ['content-type']],
  ];
  assert.deepEqual(valuesOf(filter.apply(200, hidden, BROWSER), 'content-type'), ['text/plain; charset=utf-8']);
  assert.deepEqual(names(filter.apply(204, [], BROWSER)), ['X-Content-Type-Options', 'Via']);
});

test('nothing ends a header line early', () => {
  const { filter } = filterOf();
  const header: [string, string[]][] = [
    ['Etag', ['a\r\nSet-Cookie: b=1', 'x\u0000y\u007f\tz']],
    ['Content-Type', ['text/plain\r\nX-A: b']],
    ['Et\r\nag', ['1']],
    ['Location', ['/ä']],
  ];
  const { headers } = filter.apply(200, header, NOBODY);
  assert.deepEqual(headers, [
    'Etag',
    'a  Set-Cookie: b=1',
    'Etag',
    'x y \tz',
    'Content-Type',
    'text/plain  X-A: b',
    'Location',
    Buffer.from('/ä').toString('latin1'),
    'Via',
    VIA,
  ]);
});

test('the length is one number or absent', () => {
  const { filter } = filterOf();
  const length = (...values: string[]) => filter.apply(200, [['Content-Length', values]], NOBODY).contentLength;
  assert.equal(length('5'), 5);
  assert.equal(length('5', '5'), 5);
  for (const values of [['5', '6'], ['6', 'x'], ['+5'], ['0x5'], ['-1'], ['5, 5'], [''], ['9'.repeat(20)]]) {
    assert.equal(length(...values), undefined);
    assert.deepEqual(filter.apply(200, [['content-length', values]], NOBODY).headers, ['Via', VIA]);
  }
  const { headers } = filter.apply(
    200,
    [
      ['Content-Length', ['5']],
      ['content-length', ['5']],
    ],
    NOBODY,
  );
  assert.deepEqual(headers, ['Content-Length', '5', 'Via', VIA]);
});
