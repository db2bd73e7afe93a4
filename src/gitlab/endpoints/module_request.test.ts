import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FakeTransport, jsonResponse } from '../../../test/support/gitlab/fake_transport.ts';
import { silentLog } from '../../../test/support/silent_log.ts';
import { Secret } from '../../config/secret.ts';
import type { Clock } from '../../runtime/clock.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import type { ModuleRequest } from '../client.ts';
import { createGitLabClientOver } from '../create_client.ts';

const options = { signal: new AbortController().signal };
const plain: ModuleRequest = {
  method: 'GET',
  module: 'starboard_vulnerability',
  path: '/policies',
  query: {},
  headers: {},
  body: undefined,
};

function setUp(statuses: number[] = [200], clock: Clock = new FakeClock()) {
  const answer = (_: unknown, nth: number) => jsonResponse(statuses[Math.min(nth, statuses.length) - 1] ?? 200);
  const transport = new FakeTransport(answer);
  const raw = new FakeTransport(answer);
  const deps = {
    config: {
      address: new URL('https://gitlab.example'),
      authenticationSecret: new Secret(Buffer.alloc(32)),
      caCertificateFile: undefined,
      apiRateLimit: { refillRatePerSecond: 50, bucketSize: 250 },
      externalUrl: '',
    },
    clock,
    random: { fraction: () => 0, bytes: (n: number) => Buffer.alloc(n) },
    log: silentLog,
    identity: 'gitlab-kas/v1/abc',
  };
  const client = createGitLabClientOver(transport, deps, raw);
  return {
    client,
    transport,
    raw,
    ask: (request: Partial<ModuleRequest>) => client.moduleRequest('tok', { ...plain, ...request }, options),
  };
}

const PREFIX = '/api/v4/internal/kubernetes/modules';

test('names and paths are escaped as GitLab is used to', async () => {
  const { raw, ask } = setUp();
  await ask({ module: 'a/b c', path: '/policies' });
  await ask({ module: '', path: '/policies' });
  await ask({ path: "/a b/%2e$&+,:;=@!'()*?ü", query: { a: ['1', '2'], b: 'x y' } });
  assert.deepEqual(
    raw.requests.map(({ target }) => target.replace(PREFIX, '')),
    [
      '/a%252Fb%2520c/policies',
      '//policies',
      '/starboard_vulnerability/a%20b/%252e$&+,:;=@%21%27%28%29%2A%3F%C3%BC?a=1&a=2&b=x+y',
    ],
  );
});

test('no path leads out of the module', async () => {
  const { raw, ask } = setUp();
  for (const request of [{ path: '/../agent_info' }, { path: '/a/./b' }, { module: '..' }, { path: '/..' }]) {
    await assert.rejects(ask(request), { code: 3, message: 'the path has . or .. in it' });
  }
  assert.equal(raw.requests.length, 0);
});

test('the agent cannot say who it is, nor how the connection is used', async () => {
  const { raw, ask } = setUp();
  await ask({
    headers: {
      authorization: ['Bearer mine'],
      'GITLAB-agent-api-request': ['mine'],
      'Gitlab-Agentk-Api-Request': ['mine'],
      'Gitlab-Kas-Api-Request': ['mine'],
      'User-Agent': ['mine'],
      Host: ['mine'],
      'Content-Length': ['7'],
      'Transfer-Encoding': ['mine'],
      'X-Multi': ['a', 'b'],
      'X-Empty': [],
    },
  });
  const { 'Gitlab-Kas-Api-Request': jwt, ...headers } = raw.requests[0]?.headers ?? {};
  assert.match(String(jwt), /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.deepEqual(headers, {
    'User-Agent': 'gitlab-kas/v1/abc',
    'X-Multi': ['a', 'b'],
    Authorization: 'Bearer tok',
    'Gitlab-Agent-Api-Request': 'tok',
    'Gitlab-Agentk-Api-Request': 'tok',
  });
});

test('what HTTP has no place for is refused', async () => {
  const { ask } = setUp();
  await assert.rejects(ask({ method: 'A B' }), { code: 3, message: 'invalid method "A B"' });
  await assert.rejects(ask({ method: 'CONNECT' }), { code: 3, message: 'invalid method "CONNECT"' });
  await assert.rejects(ask({ headers: { 'a b': ['1'] } }), { code: 3, message: 'invalid header field name "a b"' });
  await assert.rejects(ask({ headers: { A: ['x', 'a\r\nB: 1'] } }), {
    code: 3,
    message: 'invalid header field value for "A"',
  });
});

test('a body in memory is sent again, a stream is not', async () => {
  const clock = new FakeClock();
  const inMemory = setUp([503, 503, 201], clock);
  const body = Buffer.from('x');
  const answered = inMemory.ask({ method: 'POST', body });
  while (inMemory.raw.requests.length < 3) {
    await nextTurn();
    clock.advance(1000);
  }
  assert.equal((await answered).status, 201);
  assert.equal(inMemory.raw.requests.length, 3);
  assert.equal(inMemory.raw.requests[2]?.headers['Content-Length'], '1');

  const streamed = setUp([503, 201]);
  assert.equal((await streamed.ask({ method: 'POST', body: Readable.from(['x']) })).status, 503);
  assert.equal(streamed.raw.requests[0]?.headers['Transfer-Encoding'], 'chunked');
});

test('agents that take their time take no connections from others', async () => {
  const { client, transport, raw, ask } = setUp();
  await ask({});
  assert.deepEqual([transport.requests.length, raw.requests.length], [0, 1]);
  await client.verifyProjectAccess('tok', 'g/p', options);
  assert.deepEqual([transport.requests.length, raw.requests.length], [1, 1]);
});

test('whether a project may be read is the answer to the question, not an error', async () => {
  for (const [status, allowed] of [
    [200, true],
    [204, true],
    [401, false],
    [403, false],
    [404, false],
  ] as const) {
    const { client, transport } = setUp([status]);
    assert.equal(await client.verifyProjectAccess('tok', 'g/p', options), allowed, String(status));
    const { target, headers } = transport.requests[0] ?? {};
    assert.equal(target, '/api/v4/internal/kubernetes/verify_project_access?id=g%2Fp');
    assert.equal(headers?.Authorization, 'Bearer tok');
    assert.equal(headers?.['Gitlab-Agent-Api-Request'], 'tok');
  }
  for (const status of [201, 302, 500]) {
    await assert.rejects(setUp([status]).client.verifyProjectAccess('tok', 'g/p', options), { status }, String(status));
  }
});
