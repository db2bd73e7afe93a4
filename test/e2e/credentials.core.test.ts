// Who may: every form of credential against GitLab, and what it makes of the request at the cluster.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Handler, startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { rawConnection } from '../support/http1.ts';

const headersBack: Handler = (request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.rawHeaders));
};

interface StatusBody {
  readonly kind: string;
  readonly message: string;
  readonly reason?: string;
  readonly code: number;
}

describe('credentials', () => {
  let cluster: Cluster;
  before(async () => {
    const upgrades = {
      '/exec': (request: { headers: Record<string, unknown> }, socket: { end(s: string): void }) => {
        const key = `${String(request.headers['sec-websocket-key'])}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
        const accept = createHash('sha1').update(key).digest('base64');
        socket.end(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
            `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n` +
            `asked:${String(request.headers['sec-websocket-protocol'])};`,
        );
      },
    };
    cluster = await startCluster({
      gitlab: {},
      backend: await startBackend({ paths: { '/who': headersBack }, upgrades }),
    });
  });
  after(() => cluster.stop());

  const cookie = `_gitlab_kas=${encodeURIComponent('alice+cookie value')}`;

  async function who(token: string | null, headers: Record<string, string> = {}, query = '') {
    const answer = await cluster.ask({ path: `/who${query}`, token, headers });
    assert.equal(answer.status, 200, answer.text);
    return impersonation(JSON.parse(answer.text) as string[]);
  }

  async function refused(token: string | null, headers: Record<string, string | string[]> = {}, query = '') {
    const answer = await cluster.ask({ path: `/who${query}`, token, headers });
    return { status: answer.status, headers: answer.headers, body: JSON.parse(answer.text) as StatusBody };
  }

  test('a CI job token acts as the agent where the agent is configured so', async () => {
    assert.deepEqual(await who('ci:1:job-agent'), []);
    assert.deepEqual(await who('ci:1:job-plain'), []);
  });

  test('a CI job is impersonated with its groups', async () => {
    assert.deepEqual(await who('ci:1:job-ci'), [
      ['Impersonate-User', 'gitlab:ci_job:77'],
      ['Impersonate-Group', 'gitlab:ci_job'],
      ['Impersonate-Group', 'gitlab:group:44'],
      ['Impersonate-Group', 'gitlab:group_env_tier:44:production'],
      ['Impersonate-Group', 'gitlab:group:33'],
      ['Impersonate-Group', 'gitlab:group_env_tier:33:production'],
      ['Impersonate-Group', 'gitlab:project:55'],
      ['Impersonate-Group', 'gitlab:project_env:55:prod'],
      ['Impersonate-Group', 'gitlab:project_env_tier:55:production'],
      ['Impersonate-Extra-Agent.gitlab.com%2fci_job_id', '77'],
      ['Impersonate-Extra-Agent.gitlab.com%2fci_pipeline_id', '66'],
      ['Impersonate-Extra-Agent.gitlab.com%2fconfig_project_id', '1001'],
      ['Impersonate-Extra-Agent.gitlab.com%2fenvironment_slug', 'prod'],
      ['Impersonate-Extra-Agent.gitlab.com%2fenvironment_tier', 'production'],
      ['Impersonate-Extra-Agent.gitlab.com%2fid', '1'],
      ['Impersonate-Extra-Agent.gitlab.com%2fproject_id', '55'],
      ['Impersonate-Extra-Agent.gitlab.com%2fusername', 'alice'],
    ]);
  });

  test('a configured identity is impersonated as it stands', async () => {
    assert.deepEqual(await who('ci:1:job-impersonate'), [
      ['Impersonate-User', 'imp'],
      ['Impersonate-Uid', 'u1'],
      ['Impersonate-Group', 'g1'],
      ['Impersonate-Group', 'g2'],
      ['Impersonate-Extra-A%2fb', 'x'],
      ['Impersonate-Extra-A%2fb', 'y'],
    ]);
  });

  test('a personal access token acts as the agent or as the user', async () => {
    assert.deepEqual(await who('pat:1:alice-pat'), []);
    assert.deepEqual(await who('pat:1:bob-pat'), [
      ['Impersonate-User', 'gitlab:user:bob'],
      ['Impersonate-Group', 'gitlab:user'],
      ['Impersonate-Group', 'gitlab:project_role:5:developer'],
      ['Impersonate-Group', 'gitlab:group_role:6:maintainer'],
      ['Impersonate-Extra-Agent.gitlab.com%2faccess_type', 'personal_access_token'],
      ['Impersonate-Extra-Agent.gitlab.com%2fconfig_project_id', '1001'],
      ['Impersonate-Extra-Agent.gitlab.com%2fid', '1'],
      ['Impersonate-Extra-Agent.gitlab.com%2fusername', 'bob'],
    ]);
  });

  test('who is impersonated cannot impersonate further; who acts as the agent can', async () => {
    const nested = await cluster.ask({ path: '/who', token: 'pat:1:bob-pat', headers: { 'Impersonate-User': 'root' } });
    assert.equal(nested.status, 502);
    assert.match(nested.text, /nested impersonation is not supported/);
    assert.deepEqual(await who('pat:1:alice-pat', { 'impersonate-user': 'somebody' }), [
      ['Impersonate-User', 'somebody'],
    ]);
  });

  test('the browser’s cookie counts with agent id and CSRF token in headers or query', async () => {
    assert.deepEqual(await who(null, { cookie, 'gitlab-agent-id': '1', 'x-csrf-token': 'alice-csrf' }), []);
    assert.deepEqual(await who(null, { cookie }, '?gitlab-agent-id=1&gitlab-csrf-token=alice-csrf'), []);
    const seen = cluster.backend.requests.at(-1);
    assert.equal(seen?.url, '/who', 'the query parameters stay here');
    assert.equal(seen?.headers.cookie, undefined);
  });

  test('each cookie of that name is tried', async () => {
    const two = `_gitlab_kas=of-another-site; ${cookie}`;
    assert.deepEqual(await who(null, { cookie: two, 'gitlab-agent-id': '1', 'x-csrf-token': 'alice-csrf' }), []);
  });

  test('answers to cookies cannot be rendered by a browser', async () => {
    const answer = await cluster.ask({
      path: '/who',
      token: null,
      headers: { cookie, 'gitlab-agent-id': '1', 'x-csrf-token': 'alice-csrf' },
    });
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  });

  test('wrong credentials get 401 and say that it was not the cluster', async () => {
    for (const token of [
      'pat:1:wrong',
      'ci:1:job-wrong',
      'pat:1:',
      'pat:x:alice-pat',
      'pat:alice-pat',
      'glpat-1',
      'oauth:1:t',
    ]) {
      const { status, headers, body } = await refused(token);
      assert.equal(status, 401, token);
      assert.equal(headers['gitlab-unauthorized'], 'true', token);
      assert.match(body.message, /^GitLab Agent Server: Unauthorized/, token);
      assert.doesNotMatch(body.message, /alice-pat|glpat-1|wrong/, 'no token in the text');
    }
    const wrongCsrf = await refused(null, { cookie, 'gitlab-agent-id': '1', 'x-csrf-token': 'guess' });
    assert.equal(wrongCsrf.status, 401);
    const none = await refused(null);
    assert.match(none.body.message, /no valid credentials provided/);
  });

  test('an agent that a job or a user may not use is refused', async () => {
    const job = await refused('ci:2:job-plain');
    assert.deepEqual([job.status, job.body.message], [403, 'GitLab Agent Server: Forbidden: agentId is not allowed']);
    assert.equal((await refused('pat:2:bob-pat')).status, 401);
  });

  test('an authorization header decides, even if a good cookie is beside it', async () => {
    const headers = { cookie, 'gitlab-agent-id': '1', 'x-csrf-token': 'alice-csrf' };
    assert.equal((await refused('pat:1:wrong', headers)).status, 401);
  });

  test('a signed token lets a browser open a WebSocket without a cookie', async () => {
    const minted = await cluster.ask({
      path: '/exec?kas-websocket-token-request=true',
      token: null,
      headers: { cookie, 'gitlab-agent-id': '1', 'x-csrf-token': 'alice-csrf' },
    });
    assert.equal(minted.status, 200, minted.text);
    assert.equal(minted.headers['cache-control'], 'no-store');
    const { token } = JSON.parse(minted.text) as { token: string };
    assert.match(token, /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'made of subprotocol characters');
    const shake = async (offered: string) => {
      const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
      connection.write(
        'GET /k8s-proxy/exec HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
          `Sec-WebSocket-Protocol: v5.channel.k8s.io, websocket-token.kas.gitlab.com.${offered}\r\n\r\n`,
      );
      const head = await connection.readUntil('\r\n\r\n');
      return { connection, head };
    };
    const good = await shake(token);
    assert.match(good.head, /^HTTP\/1.1 101 /);
    assert.equal(await good.connection.readUntil(';'), 'asked:v5.channel.k8s.io;', 'the token stays here');
    good.connection.close();
    const bad = await shake(`${token.slice(0, -4)}AAAA`);
    assert.match(bad.head, /^HTTP\/1.1 401 /);
    bad.connection.close();
  });

  test('OPTIONS is answered by the server itself', async () => {
    const before = cluster.backend.requests.length;
    const answer = await cluster.ask({
      method: 'OPTIONS',
      path: '/who',
      token: null,
      headers: { origin: 'http://gitlab.example', 'access-control-request-headers': 'x-csrf-token' },
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-origin'], 'http://gitlab.example');
    assert.equal(answer.headers['access-control-allow-headers'], 'x-csrf-token');
    assert.equal(answer.headers['access-control-max-age'], '86400');
    assert.equal(cluster.backend.requests.length, before);
  });

  test('an origin that is not GitLab’s is refused', async () => {
    const answer = await cluster.ask({ path: '/who', headers: { origin: 'http://evil.example' } });
    assert.deepEqual([answer.status, answer.text], [403, '']);
  });

  test('GitLab was asked with valid tokens of the server', () => {
    assert.deepEqual(cluster.gitlab?.problems, []);
  });
});

/** The headers that agentk made of the identity, extras sorted: their order says nothing. */
function impersonation(rawHeaders: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (/^impersonate-/i.test(name)) pairs.push([name, rawHeaders[i + 1] ?? '']);
  }
  const rank = ([name]: [string, string]) =>
    ['Impersonate-User', 'Impersonate-Uid', 'Impersonate-Group'].indexOf(name) >>> 0;
  return pairs.sort((a, b) => rank(a) - rank(b) || (rank(a) === 0xffffffff ? compare(a[0], b[0]) : 0));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
