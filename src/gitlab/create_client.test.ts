import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordingSpan } from '../../test/support/doubles/recording_span.ts';
import { FakeTransport, jsonResponse } from '../../test/support/gitlab/fake_transport.ts';
import { recordingLog } from '../../test/support/recording_log.ts';
import { Secret } from '../config/secret.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { createGitLabClientOver } from './create_client.ts';
import type { HttpRequest, HttpResponse } from './transport.ts';

const NEW = '/api/v4/internal/agents/agentk/agent_info';
const OLD = '/api/v4/internal/kubernetes/agent_info';
const options = { signal: new AbortController().signal };
const AGENT = {
  project_id: 8,
  agent_id: '7',
  agent_name: 'prod',
  gitaly_info: { address: 'tcp://gitaly', token: 't', features: { f: 'true' } },
  gitaly_repository: { storage_name: 's', relative_path: 'p', gl_repository: 'project-8', gl_project_path: 'g/p' },
  default_branch: 'main',
  something_new: { a: 1 },
};

function setUp(answer: (request: HttpRequest, nth: number) => HttpResponse | Error) {
  const clock = new FakeClock();
  const transport = new FakeTransport(answer);
  const { log, lines } = recordingLog();
  const client = createGitLabClientOver(transport, {
    config: {
      address: new URL('https://gitlab.example/gitlab'),
      authenticationSecret: new Secret(Buffer.alloc(32)),
      caCertificateFile: undefined,
      apiRateLimit: { refillRatePerSecond: 50, bucketSize: 250 },
      externalUrl: '',
    },
    clock,
    random: { fraction: () => 0, bytes: (n) => Buffer.alloc(n) },
    log,
    identity: 'gitlab-kas/v1/abc',
  });
  const paths = () => transport.requests.map(({ target }) => target.replace('/gitlab', ''));
  return { client, clock, transport, lines, paths };
}

/** A GitLab that has only `known`. */
function only(known: string) {
  return ({ target }: HttpRequest) => (target.endsWith(known) ? jsonResponse(200, AGENT) : jsonResponse(404));
}

test('the old path is remembered for five minutes', async () => {
  const { client, clock, paths } = setUp(only(OLD));
  await client.agentInfo('t', options);
  clock.advance(5 * 60_000 - 1);
  await client.agentInfo('t', options);
  clock.advance(1);
  await client.agentInfo('t', options);
  assert.deepEqual(paths(), [NEW, OLD, OLD, NEW, OLD]);
});

test('a refusal shows as well that the old path is there', async () => {
  const { client, paths } = setUp(({ target }) => jsonResponse(target.endsWith(OLD) ? 401 : 404));
  await assert.rejects(client.agentInfo('t', options), { status: 401 });
  await assert.rejects(client.agentInfo('t', options), { status: 401 });
  assert.deepEqual(paths(), [NEW, OLD, OLD]);
});

test('an upgraded GitLab is noticed at once', async () => {
  let known = OLD;
  const { client, paths } = setUp((request) => only(known)(request));
  await client.agentInfo('t', options);
  known = NEW;
  await client.agentInfo('t', options);
  await client.agentInfo('t', options);
  assert.deepEqual(paths(), [NEW, OLD, OLD, NEW, NEW]);
});

test('neither path: 404, and nothing is learnt from it', async () => {
  const { client, paths } = setUp(() => jsonResponse(404));
  await assert.rejects(client.agentInfo('t', options), { status: 404, path: OLD });
  await assert.rejects(client.agentInfo('t', options), { status: 404 });
  assert.deepEqual(paths(), [NEW, OLD, NEW, OLD]);
});

test('agent_info is not repeated', async () => {
  const { client, paths } = setUp(() => jsonResponse(503));
  await assert.rejects(client.agentInfo('t', options), { status: 503 });
  assert.deepEqual(paths(), [NEW]);
});

test('what is wrong with an answer is told, field by field', async () => {
  const { client } = setUp(() => jsonResponse(200, { ...AGENT, agent_id: 0, default_branch: null, gitaly_info: {} }));
  await assert.rejects(client.agentInfo('t', options), {
    code: 13,
    message:
      'ValidateAll: invalid GetAgentInfoResponse.AgentId: value must be greater than 0; ' +
      'invalid GetAgentInfoResponse.GitalyInfo: embedded message failed validation | caused by: ' +
      'invalid GitalyInfo.Address: value length must be at least 1 bytes; ' +
      'invalid GetAgentInfoResponse.DefaultBranch: value length must be at least 1 bytes',
  });
});

test('an empty answer lacks everything', async () => {
  const { client } = setUp(() => jsonResponse(200));
  await assert.rejects(client.allowedAgents('j', options), {
    message: ['Job', 'Pipeline', 'Project', 'User']
      .map((field) => `invalid AllowedAgentsForJob.${field}: value is required`)
      .join('; ')
      .replace(/^/, 'ValidateAll: '),
  });
  const question = { agentId: 1n, accessType: 'personal_access_token', accessKey: 'k', csrfToken: '' } as const;
  await assert.rejects(client.authorizeProxyUser(question, options), {
    message: ['Agent', 'User', 'AccessAs']
      .map((field) => `invalid AuthorizeProxyUserResponse.${field}: value is required`)
      .join('; ')
      .replace(/^/, 'ValidateAll: '),
  });
});

test('questions that make no sense are not asked', async () => {
  const { client, paths } = setUp(() => jsonResponse(200));
  const question = { agentId: 0n, accessType: 'session_cookie', accessKey: '', csrfToken: '' } as const;
  await assert.rejects(client.authorizeProxyUser(question, options), {
    code: 3,
    message:
      'WithProtoJsonRequestBody: invalid AuthorizeProxyUserRequest.AgentId: value must be greater than 0; ' +
      'invalid AuthorizeProxyUserRequest.AccessKey: value length must be at least 1 bytes',
  });
  assert.deepEqual(paths(), []);
});

const reasons: [string, HttpResponse, string][] = [
  ['message', jsonResponse(401, { message: 'Unauthorized' }), 'Unauthorized'],
  [
    'no content type',
    { ...jsonResponse(401), headers: {} },
    '<unknown reason: missing content type header to read reason>',
  ],
  [
    'html',
    jsonResponse(401, {}, { 'content-type': 'text/html' }),
    '<unknown reason: expected application/json content type, but got text/html>',
  ],
];
for (const [what, response, reason] of reasons) {
  test(`the reason of a refusal: ${what}`, async () => {
    const { client } = setUp(() => response);
    const question = { agentId: 1n, accessType: 'session_cookie', accessKey: 'k', csrfToken: 'c' } as const;
    await assert.rejects(client.authorizeProxyUser(question, options), {
      message: `HTTP status code: 401 for path /api/v4/internal/kubernetes/authorize_proxy_user with reason ${reason}`,
    });
  });
}

test('a call is logged with its status, time and correlation id, without secrets', async () => {
  const { client, lines } = setUp(() => jsonResponse(200, AGENT, { 'x-request-id': 'rails-1' }));
  await client.agentInfo('s3cret', { ...options, correlationId: 'ours-1' });
  assert.deepEqual(lines, [
    {
      level: 'debug',
      message: 'GitLab call',
      fields: {
        correlation_id: 'ours-1',
        http_method: 'GET',
        url_path: NEW,
        duration_ms: 0,
        status: 200,
        gitlab_correlation_id: 'rails-1',
      },
    },
  ]);
});

test('a traced call has a span, which GitLab hears of', async () => {
  const span = new RecordingSpan();
  const { client, transport } = setUp(() => jsonResponse(200, AGENT));
  await client.agentInfo('s3cret', { ...options, span });
  const [call] = span.children;
  assert.deepEqual([call?.name, call?.kind, call?.ends], ['GitLab GET', 'client', [undefined]]);
  assert.equal(call?.attributes['url.path'], NEW);
  assert.equal(call?.attributes['http.response.status_code'], 200);
  assert.doesNotMatch(JSON.stringify(call), /s3cret/);
  const { headers = {} } = transport.requests[0] ?? {};
  assert.equal(headers.Traceparent, call?.traceparent);
  const names = Object.keys(headers);
  assert.equal(names.indexOf('Traceparent'), names.indexOf('Gitlab-Kas-Api-Request') + 1);

  const refused = setUp(() => jsonResponse(403));
  await assert.rejects(refused.client.agentInfo('s3cret', { ...options, span }));
  assert.deepEqual(span.children[1]?.ends, ['HTTP status code: 403']);
  await client.agentInfo('s3cret', options);
  assert.equal(transport.requests[1]?.headers.Traceparent, undefined);
});

test('the rate limit holds for all calls together', async () => {
  const { client, clock, paths } = setUp(() => jsonResponse(401));
  const calls = Array.from({ length: 252 }, () => client.agentInfo('t', options).catch(() => {}));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(paths().length, 250);
  clock.advance(40);
  await Promise.all(calls);
  assert.equal(paths().length, 252);
});

test('every request says who asks', async () => {
  const { client, transport } = setUp(() => jsonResponse(401));
  await assert.rejects(client.allowedAgents('job', options));
  const headers = transport.requests[0]?.headers;
  assert.equal(headers?.['User-Agent'], 'gitlab-kas/v1/abc');
  assert.match(String(headers?.['Gitlab-Kas-Api-Request']), /^[\w-]+\.[\w-]+\.[\w-]+$/);
});
