import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type Answer, type Asker, statusResponse } from './status_response.ts';

const failure = { status: 401, message: 'no <b> & "quotes" \u2028 it\'s: #1' };
const nobody: Asker = {
  accept: undefined,
  userAgent: undefined,
  pretty: undefined,
  allowedOrigin: undefined,
  authorizes: false,
};

function respond(asker: Partial<Asker>, status = 401): Answer {
  return statusResponse({ ...failure, status }, { ...nobody, ...asker }, 'gitlab-kas/v1/c');
}

function typeOf({ headers }: Answer): string | undefined {
  return headers[headers.indexOf('Content-Type') + 1];
}

test('JSON is escaped as Go does', () => {
  const { body, headers, status } = respond({});
  assert.equal(status, 401);
  assert.equal(
    body.toString(),
    '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"GitLab Agent Server: no \\u003cb\\u003e ' +
      '\\u0026 \\"quotes\\" \\u2028 it\'s: #1","reason":"Unauthorized","code":401}\n',
  );
  assert.deepEqual(headers, [
    'Gitlab-Unauthorized',
    'true',
    'Server',
    'gitlab-kas/v1/c',
    'X-Content-Type-Options',
    'nosniff',
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.length),
  ]);
});

test('whoever comes at a bad time is told when to come again', () => {
  const retryAfter = (status: number) => {
    const { headers } = respond({}, status);
    return headers.includes('Retry-After') ? headers[headers.indexOf('Retry-After') + 1] : undefined;
  };
  assert.deepEqual([429, 503, 502, 401].map(retryAfter), ['1', '1', undefined, undefined]);
});

test('only a 401 of ours says so, and 502 has no reason', () => {
  const { headers, body } = respond({ allowedOrigin: 'http://g' }, 502);
  assert.ok(!headers.includes('Gitlab-Unauthorized'));
  assert.ok(!body.includes('reason'));
  assert.deepEqual(headers.slice(0, 6), [
    'Access-Control-Allow-Credentials',
    'true',
    'Access-Control-Allow-Origin',
    'http://g',
    'Vary',
    'Origin',
  ]);
});

test('YAML says the same', () => {
  const answer = respond({ accept: 'application/yaml' });
  assert.equal(typeOf(answer), 'application/yaml');
  assert.deepEqual(parse(answer.body.toString()), JSON.parse(respond({}).body.toString()));
});

test('YAML is folded and quoted as by upstream’s library', () => {
  // as sigs.k8s.io/yaml 1.3.0 writes it
  const cases: [string, string][] = [
    [
      'HTTP->gRPC: failed to read gRPC response: rpc error: code = DeadlineExceeded desc = Agent connection not found. Is agent up to date and connected?',
      'HTTP->gRPC: failed to read gRPC response: rpc error:\n  code = DeadlineExceeded desc = Agent connection not found. Is agent up to date and\n  connected?',
    ],
    ["it's: 'x'", "it''s: ''x''"],
    [`${'x'.repeat(100)}  ${'y'.repeat(100)} z`, `${'x'.repeat(100)}  ${'y'.repeat(100)}\n  z`],
  ];
  for (const [message, written] of cases) {
    const { body } = statusResponse({ status: 502, message }, { ...nobody, accept: 'application/yaml' }, 's');
    const yaml = `apiVersion: v1\ncode: 502\nkind: Status\nmessage: 'GitLab Agent Server: ${written}'\nmetadata: {}\nstatus: Failure\n`;
    assert.equal(body.toString(), yaml);
    assert.equal(parse(yaml).message, `GitLab Agent Server: ${message}`);
  }
  const { body } = statusResponse(
    { status: 401, message: 'a\nb\tc 😀' },
    { ...nobody, accept: 'application/yaml' },
    's',
  );
  assert.equal(parse(body.toString()).message, 'GitLab Agent Server: a\nb\tc 😀');
});

test('protobuf, long enough for lengths of two bytes, without a reason', () => {
  const message = 'x'.repeat(300);
  const asker = { ...nobody, accept: 'application/vnd.kubernetes.protobuf' };
  const { body } = statusResponse({ status: 502, message }, asker, 's');
  const text = Buffer.from(`GitLab Agent Server: ${message}`);
  const status = Buffer.concat([
    Buffer.from('0a060a0012001a0012074661696c7572651ac102', 'hex'),
    text,
    Buffer.from('220030f603', 'hex'),
  ]);
  const head = Buffer.from('6b3873000a0c0a027631120653746174757312', 'hex');
  const length = Buffer.from([(status.length & 0x7f) | 0x80, status.length >> 7]);
  assert.equal(
    body.toString('hex'),
    Buffer.concat([head, length, status, Buffer.from('1a002200', 'hex')]).toString('hex'),
  );
});

test('the first acceptable type by quality wins', () => {
  const cases: [string, string | undefined][] = [
    ['', 'application/json'],
    ['*', 'application/json'],
    ['text/*, application/yaml;q=0.1', 'application/yaml'],
    ['*/*, application/yaml', 'application/yaml'],
    ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json', 'application/json'],
    ['application/json;q=0, application/yaml;q=0.1', 'application/yaml'],
    ['application/json;stream=watch', 'application/json'],
    ['application/yaml;stream=watch, application/json;q=0.5', 'application/json'],
    ['application/json;sv=v1', undefined],
    ['application/json;sv=', 'application/json'],
    ['application/json;stream=other', undefined],
    ['text/html', undefined],
    ['application', undefined],
    ['a/b/c', undefined],
    ['application/json;q=x', 'application/json'],
    ['application/yaml;q=x, application/json;q=0.1', 'application/json'],
    ['*/*;q=0', 'application/json'],
  ];
  for (const [accept, type] of cases) {
    const answer = respond({ accept });
    assert.equal(answer.status, type === undefined ? 406 : 401, accept);
    assert.equal(typeOf(answer), type ?? 'text/plain; charset=utf-8', accept);
  }
});

test('for people to read', () => {
  const isPretty = (asker: Partial<Asker>) => respond(asker).body.includes('\n  "kind"');
  assert.equal(isPretty({}), false);
  assert.equal(isPretty({ userAgent: 'Mozilla/5.0 (X11)' }), true);
  assert.equal(isPretty({ userAgent: 'Wget/1' }), true);
  assert.equal(isPretty({ userAgent: 'not curl' }), false);
  assert.equal(isPretty({ userAgent: 'curl/8', pretty: '0' }), false);
  assert.equal(isPretty({ userAgent: 'curl/8', pretty: '' }), true);
  assert.equal(isPretty({ pretty: 'true' }), true);
  assert.equal(isPretty({ pretty: 'yes' }), false);
  assert.equal(isPretty({ accept: 'application/json;pretty=1', pretty: 'false' }), true);
  assert.ok(!respond({ pretty: '1' }).body.toString().endsWith('\n'));
});

test('what a browser may show is not to be taken for something else', () => {
  const sniffing = (more: Partial<Asker>) =>
    statusResponse({ status: 404, message: 'x' }, { ...nobody, ...more }, 'kas').headers.includes('nosniff');
  assert.equal(sniffing({}), true);
  assert.equal(sniffing({ authorizes: true }), false);
  assert.equal(sniffing({ authorizes: true, accept: 'image/png' }), true, 'plain text');
});
