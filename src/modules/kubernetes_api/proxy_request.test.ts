import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScriptedUsers } from '../../../test/support/scripted_users.ts';
import { silentLog } from '../../../test/support/silent_log.ts';
import { StandaloneUserAuthorizer } from '../../auth/standalone_user_authorizer.ts';
import { tokenHash } from '../../auth/token_hash.ts';
import type { UserAuthorizer } from '../../auth/user_authorizer.ts';
import { Secret } from '../../config/secret.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { type Prepared, type ProxyRequest, RequestPreparer } from './proxy_request.ts';
import type { Answer } from './status_response.ts';

const EXTERNAL_URL = 'http://gitlab.example';
const TOKEN_PREFIX = 'websocket-token.kas.gitlab.com.';
const session = ['Cookie', '_gitlab_kas=good-cookie', 'Gitlab-Agent-Id', '1', 'X-Csrf-Token', 'good-csrf'];
const upgrade = ['Connection', 'Upgrade', 'Upgrade', 'websocket'];

interface Options {
  secret?: Buffer;
  externalUrl?: string;
  clock?: FakeClock;
  users?: UserAuthorizer;
}

function preparer({
  secret,
  externalUrl = EXTERNAL_URL,
  clock = new FakeClock(),
  users = new ScriptedUsers(),
}: Options = {}): RequestPreparer {
  return new RequestPreparer({
    config: { urlPathPrefix: '/', websocketTokenSecret: secret && new Secret(secret) },
    externalUrl,
    serverName: 'gitlab-kas/v1/c',
    users,
    clock,
    log: silentLog,
  });
}

function request(url: string, rawHeaders: string[], method = 'GET'): ProxyRequest {
  return { method, url, rawHeaders, signal: () => new AbortController().signal, correlationId: () => 'id-1' };
}

async function answerTo(given: ProxyRequest, by = preparer()): Promise<Answer> {
  const result = await by.prepare(given);
  assert.equal(result.kind, 'answer');
  return result as Answer;
}

async function preparedFor(given: ProxyRequest, by = preparer()): Promise<Prepared> {
  const result = await by.prepare(given);
  assert.equal(result.kind, 'prepared', result.kind === 'answer' ? result.body.toString() : '');
  return result as Prepared;
}

function messageOf({ body }: Answer): string {
  return JSON.parse(body.toString()).message;
}

test('a malformed target comes before everything else, a foreign origin before preflight, prefix before credentials', async () => {
  const foreign = ['Origin', 'http://evil.example'];
  assert.equal((await answerTo(request('/%', foreign, 'OPTIONS'))).status, 400);
  const refused = await answerTo(request('/x', foreign, 'OPTIONS'));
  assert.deepEqual([refused.status, refused.headers, refused.body.length], [403, ['Content-Length', '0'], 0]);
  assert.equal((await answerTo(request('*', [], 'OPTIONS'))).status, 200);
  assert.equal((await answerTo(request('*', []))).status, 400);
  assert.equal((await answerTo(request('/x', []))).status, 401);
});

test('without an external URL no origin is allowed, not even an empty one', async () => {
  for (const origin of ['', 'null', 'http://gitlab.example']) {
    const answer = await answerTo(request('/x', ['Origin', origin]), preparer({ externalUrl: '' }));
    assert.equal(answer.status, 403, origin);
  }
  for (const origin of ['http://gitlab.example/', 'HTTP://gitlab.example', 'http://gitlab.example.evil', '']) {
    assert.equal((await answerTo(request('/x', ['Origin', origin]))).status, 403, origin);
  }
});

test('the first Origin line counts', async () => {
  const raw = ['Origin', 'http://evil.example', 'Origin', EXTERNAL_URL, ...session];
  assert.equal((await answerTo(request('/x', raw))).status, 403);
});

test('what is meant for us does not reach the agent', async () => {
  const url = '/x?gitlab-agent-id=1&a=1&gitlab-csrf-token=good-csrf&a=2';
  const { head, rules } = await preparedFor(request(url, ['Cookie', '_gitlab_kas=good-cookie']));
  assert.deepEqual(head.query, [['a', ['1', '2']]]);
  assert.deepEqual(head.headers, [['Via', ['gRPC/1.0 gitlab-kas/v1/c']]]);
  assert.deepEqual(rules, { allowedOrigin: undefined, viaCookie: true });
});

test('every cookie is tried', async () => {
  const raw = [
    'Cookie',
    '_gitlab_kas=stale; _gitlab_kas=good-cookie',
    'Gitlab-Agent-Id',
    '1',
    'X-Csrf-Token',
    'good-csrf',
  ];
  assert.equal((await preparedFor(request('/x', raw))).agentId, 1n);
});

test('an identity to impersonate goes beside the headers of the client, both in the spelling that agents compare', async () => {
  const raw = [
    'Authorization',
    'Bearer ci:1:job-ci',
    'impersonate-GROUP',
    'system:masters',
    'iMPERSONATE-uSER',
    'root',
  ];
  const { head } = await preparedFor(request('/x', raw));
  assert.ok(head.extra !== undefined);
  assert.deepEqual(head.headers.slice(0, 2), [
    ['Impersonate-Group', ['system:masters']],
    ['Impersonate-User', ['root']],
  ]);
});

test('the length over HTTP/2 comes from the caller', async () => {
  const raw = [':method', 'POST', ':path', '/x', 'authorization', 'Bearer ci:1:job-x'];
  const { head } = await preparedFor({ ...request('/x', raw, 'POST'), bodyLength: -1 });
  assert.equal(head.contentLength, -1);
  assert.deepEqual(head.headers, [['Via', ['gRPC/1.0 gitlab-kas/v1/c']]]);
});

const secret = Buffer.alloc(72, 7);

async function tokenFor(path: string, by: RequestPreparer, rawHeaders = session): Promise<string> {
  const answer = await answerTo(request(`${path}?kas-websocket-token-request=true`, rawHeaders), by);
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.headers.slice(0, 2), ['Cache-Control', 'no-store']);
  assert.ok(answer.headers.includes('application/json'));
  return JSON.parse(answer.body.toString()).token;
}

test('what a user of the standalone section has under way is counted together, with a WebSocket token too', async () => {
  const alice = { name: 'alice', tokenSha256: tokenHash('t'), agents: [1n], accessAs: 'agent' as const };
  const by = preparer({ secret, users: new StandaloneUserAuthorizer([alice]) });
  const pat = ['Authorization', 'Bearer pat:1:t'];
  const { load } = await preparedFor(request('/exec', pat), by);
  const { body } = await answerTo(request('/exec?kas-websocket-token-request=true', pat), by);
  const offer = ['Sec-WebSocket-Protocol', `v5.channel.k8s.io, ${TOKEN_PREFIX}${JSON.parse(body.toString()).token}`];
  assert.equal((await preparedFor(request('/exec', [...upgrade, ...offer]), by)).load, load);
});

test('a token opens a WebSocket without another credential, at another node too', async () => {
  const clock = new FakeClock();
  const token = await tokenFor('/exec', preparer({ secret, clock }));
  const raw = [
    ...upgrade,
    'Origin',
    EXTERNAL_URL,
    'Sec-WebSocket-Protocol',
    `v5.channel.k8s.io, ${TOKEN_PREFIX}${token}`,
  ];
  const { agentId, head, rules, userId } = await preparedFor(request('/exec?a=1', raw), preparer({ secret, clock }));
  assert.deepEqual([agentId, userId], [1n, 22n]);
  assert.deepEqual(rules, { allowedOrigin: EXTERNAL_URL, viaCookie: true });
  assert.deepEqual(
    head.headers.find(([name]) => name === 'Sec-Websocket-Protocol'),
    ['Sec-Websocket-Protocol', ['v5.channel.k8s.io']],
  );
  assert.ok(!JSON.stringify(head.headers).includes(token));
});

test('a token keeps the identity that it was issued for', async () => {
  const by = preparer({ secret });
  const raw = ['Authorization', 'Bearer ci:2:job-ci'];
  const direct = await preparedFor(request('/exec', raw), by);
  const token = await tokenFor('/exec', by, raw);
  const { head, agentId } = await preparedFor(
    request('/exec', [...upgrade, 'Sec-WebSocket-Protocol', TOKEN_PREFIX + token]),
    by,
  );
  assert.equal(agentId, 2n);
  assert.deepEqual(Buffer.from(head.extra!), Buffer.from(direct.head.extra!));
});

test('a token is good for nothing else', async () => {
  const clock = new FakeClock();
  const by = preparer({ secret, clock });
  const token = await tokenFor('/exec', by);
  const protocol = ['Sec-WebSocket-Protocol', TOKEN_PREFIX + token];
  const refusals: [ProxyRequest, string][] = [
    [request('/exec', protocol), 'not a WebSocket request'],
    [request('/exec', [...protocol, ...upgrade], 'POST'), 'not a WebSocket request'],
    [request('/other', [...protocol, ...upgrade]), 'invalid'],
    [request('/exec', ['Sec-WebSocket-Protocol', `${TOKEN_PREFIX}x.y`, ...upgrade, ...session]), 'invalid'],
  ];
  for (const [given, what] of refusals) {
    const answer = await answerTo(given, by);
    assert.equal(answer.status, 401);
    assert.ok(answer.headers.includes('Gitlab-Unauthorized'));
    assert.equal(messageOf(answer), `GitLab Agent Server: Unauthorized: WebSocket token: ${what}`);
  }
  const renewal = request('/exec?kas-websocket-token-request=true', [...protocol, ...upgrade]);
  assert.equal((await answerTo(renewal, by)).status, 400);
  const foreign = [...protocol, ...upgrade, 'Origin', 'http://evil.example'];
  assert.equal((await answerTo(request('/exec', foreign), by)).status, 403);
  clock.advance(60_000);
  const late = await answerTo(request('/exec', [...protocol, ...upgrade]), by);
  assert.equal(messageOf(late), 'GitLab Agent Server: Unauthorized: WebSocket token: expired');
});

test('a token beside Authorization is cut out and not used', async () => {
  const raw = [...upgrade, 'Authorization', 'Bearer ci:1:job-x', 'Sec-WebSocket-Protocol', `a,${TOKEN_PREFIX}x.y`];
  const { head } = await preparedFor(request('/exec', raw));
  assert.deepEqual(head.headers.find(([name]) => name === 'Sec-Websocket-Protocol')?.[1], ['a']);
});

test('asking for a token needs credentials like everything else, and a secret', async () => {
  const url = '/exec?kas-websocket-token-request=true';
  assert.equal((await answerTo(request(url, []), preparer({ secret }))).status, 401);
  const answer = await answerTo(request(url, session));
  assert.equal(answer.status, 404);
  assert.match(messageOf(answer), /agent\.kubernetes_api\.websocket_token_secret_file/);
  // Other methods and values are the cluster's business.
  await preparedFor(request(url, session, 'POST'), preparer({ secret }));
  await preparedFor(request('/exec?kas-websocket-token-request=1', session), preparer({ secret }));
});
