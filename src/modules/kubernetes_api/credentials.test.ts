import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BadCredentials, type Credentials, parseCredentials } from './credentials.ts';
import { readIncomingHead } from './incoming_head.ts';
import type { ValueLists } from './value_lists.ts';

function parse(rawHeaders: string[], query: ValueLists = []): Credentials | BadCredentials {
  return parseCredentials(readIncomingHead(rawHeaders, 'v'), query);
}

function error(rawHeaders: string[], query: ValueLists = []): string | undefined {
  const credentials = parse(rawHeaders, query);
  return credentials.kind === 'bad' ? credentials.error : undefined;
}

const companions = ['Gitlab-Agent-Id', '1', 'X-Csrf-Token', 't'];

test('tokens', () => {
  assert.deepEqual(parse(['Authorization', 'Bearer ci:1:a:b']), { kind: 'ci_job', agentId: 1n, token: 'a:b' });
  const pat = { kind: 'personal_access_token', agentId: 9223372036854775807n, token: 'x' };
  assert.deepEqual(parse(['authorization', 'Bearer pat:9223372036854775807:x']), pat);
});

test('agent ids as Go parses them', () => {
  const id = (text: string) => parse(['Authorization', `Bearer ci:${text}:t`]);
  assert.equal((id('-9223372036854775808') as { agentId: bigint }).agentId, -9223372036854775808n);
  assert.equal((id('+007') as { agentId: bigint }).agentId, 7n);
  const texts: [string, string][] = [
    ['9223372036854775808', 'value out of range'],
    ['-9223372036854775809', 'value out of range'],
    ['9'.repeat(5000), 'value out of range'],
    ['1_0', 'invalid syntax'],
    ['0x1', 'invalid syntax'],
    ['+', 'invalid syntax'],
    [' 1', 'invalid syntax'],
    ['1n', 'invalid syntax'],
  ];
  for (const [text, what] of texts) {
    const expected = `Authorization header: failed to parse: strconv.ParseInt: parsing "${text}": ${what}`;
    assert.equal(error(['Authorization', `Bearer ci:${text}:t`]), expected);
  }
});

test('a token in the wrong place is shown to its sender only', () => {
  const credentials = parse(['Authorization', 'Bearer ci:secret:1']);
  assert.equal(credentials.kind, 'bad');
  assert.ok(!(credentials as BadCredentials).logError.includes('secret'));
  const session = parse(['Cookie', '_gitlab_kas=x', 'Gitlab-Agent-Id', 'secret', 'X-Csrf-Token', '1']);
  assert.equal(session.kind, 'bad');
  assert.ok(!(session as BadCredentials).logError.includes('secret'));
});

test('every cookie of ours is a candidate, once', () => {
  const lines = [
    'Cookie',
    'other=1; _gitlab_kas=a%2Bb+c ;_gitlab_kas="b"',
    'Cookie',
    '_gitlab_kas=b; _gitlab_kas=',
    'Cookie',
    ' _gitlab_kas=%zz',
  ];
  assert.deepEqual(parse([...lines, ...companions]), {
    kind: 'session_cookie',
    agentId: 1n,
    cookies: ['a+b c', 'b'],
    csrfToken: 't',
  });
});

test('a request cannot make us ask GitLab about cookies without end', () => {
  const cookies = Array.from({ length: 1000 }, (_, i) => `_gitlab_kas=c${i}`).join(';');
  const credentials = parse(['Cookie', cookies, ...companions]);
  assert.ok(credentials.kind === 'session_cookie');
  assert.deepEqual(credentials.cookies, ['c0', 'c1', 'c2', 'c3', 'c4']);
});

test('problems of cookies, the first one first', () => {
  assert.equal(
    error(['Cookie', '_gitlab_kas=; _gitlab_kas=%', ...companions]),
    '_gitlab_kas cookie value must not be empty',
  );
  assert.equal(error(['Cookie', '_gitlab_kas=%; _gitlab_kas=', ...companions]), '_gitlab_kas invalid cookie value');
  for (const cookie of [
    '_GITLAB_KAS=x',
    '_gitlab_kas2=x',
    'x_gitlab_kas=x',
    '_gitlab_kas=a\\b',
    '_gitlab_kas=\u00e9',
    'a',
  ]) {
    assert.equal(error(['Cookie', cookie, ...companions]), 'no valid credentials provided', cookie);
  }
});

test('companions of the cookie: header before query, each once', () => {
  const cookie = ['Cookie', '_gitlab_kas=x'];
  const query: ValueLists = [
    ['gitlab-agent-id', ['2']],
    ['gitlab-csrf-token', ['q']],
  ];
  const session = { kind: 'session_cookie', cookies: ['x'] };
  assert.deepEqual(parse(cookie, query), { ...session, agentId: 2n, csrfToken: 'q' });
  assert.deepEqual(parse([...cookie, ...companions], query), { ...session, agentId: 1n, csrfToken: 't' });
  assert.equal(
    error([...cookie, 'Gitlab-Agent-Id', '1', 'X-Csrf-Token', 'a', 'X-Csrf-Token', 'a']),
    'X-Csrf-Token header must have exactly one value',
  );
  assert.equal(
    error([...cookie, 'Gitlab-Agent-Id', '1a', 'X-Csrf-Token', 'a']),
    'agent id in request: invalid value: "1a"',
  );
  const twice: ValueLists = [['gitlab-csrf-token', ['a', 'b']]];
  assert.match(error([...cookie, 'Gitlab-Agent-Id', '1'], twice) ?? '', /^exactly one CSRF token must be provided/);
});

test('Authorization decides, even when a cookie would do', () => {
  const raw = ['Authorization', 'Basic eDp5', 'Cookie', '_gitlab_kas=x', ...companions];
  assert.equal(error(raw), 'Authorization header: expecting Bearer token');
});
