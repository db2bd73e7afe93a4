// gitlab#436358 (GHSA-mmc8-x8mq-826c): another site makes a user's browser send requests through the proxy. The browser adds the
// cookie by itself, so the cookie alone must be worth nothing, and no other origin may ask or read.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import {
  aliceCookie,
  aliceInBrowser,
  echoOf,
  headerOf,
  startEchoCluster,
  timesAsked,
} from '../../support/echo_cluster.ts';
import { rawExchange } from '../../support/http1.ts';

const GITLAB = 'http://gitlab.example';

describe('CSRF through the proxy', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startEchoCluster({ upgrades: { '/exec': (_, socket) => socket.destroy() } });
  });
  after(() => cluster.stop());

  const refused = async (headers: Record<string, string>, query = '', method = 'GET') => {
    const before = timesAsked(cluster);
    const answer = await cluster.ask({ method, path: `/api/v1/pods${query}`, token: null, headers });
    assert.equal(timesAsked(cluster), before, 'the cluster has heard of it');
    return answer;
  };

  test('the cookie alone, with a guessed or an empty token, is worth nothing', async () => {
    for (const method of ['GET', 'POST', 'DELETE'])
      for (const [headers, query] of [
        [{}, ''],
        [{ 'gitlab-agent-id': '1' }, ''],
        [{ 'gitlab-agent-id': '1', 'x-csrf-token': '' }, ''],
        [{ 'gitlab-agent-id': '1', 'x-csrf-token': 'guess' }, ''],
        [{}, '?gitlab-agent-id=1'],
        [{}, '?gitlab-agent-id=1&gitlab-csrf-token=guess'],
        [{}, '?gitlab-agent-id=1&gitlab-csrf-token=alice-csrf&gitlab-csrf-token=alice-csrf'],
      ] as const) {
        const { status } = await refused({ cookie: aliceCookie, ...headers }, query, method);
        assert.equal(status, 401, JSON.stringify([method, headers, query]));
      }
  });

  test('no other origin may ask, whatever it has; its scripts get no leave to read', async () => {
    for (const origin of [
      'http://evil.example',
      'https://gitlab.example',
      'http://gitlab.example.evil.example',
      'http://gitlab.example:80',
      'http://gitlab.example/',
      'http://GITLAB.example',
      'http://user@gitlab.example',
      'null',
      'file://',
      `${GITLAB}, ${GITLAB}`,
    ])
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const answer = await refused({ ...aliceInBrowser, origin }, '', method);
        assert.equal(answer.status, 403, `${method} ${origin}`);
        assert.equal(answer.headers['access-control-allow-origin'], undefined);
        assert.equal(answer.headers['access-control-allow-credentials'], undefined);
      }
  });

  test('an origin is refused with tokens, too, which scripts could have been given', async () => {
    const before = timesAsked(cluster);
    const headers = { origin: 'http://evil.example' };
    assert.equal((await cluster.ask({ path: '/x', token: 'ci:1:job-agent', headers })).status, 403);
    assert.equal(timesAsked(cluster), before);
  });

  test('two Origin lines are judged by the first, and none of them is ever reflected unless it is GitLab’s', async () => {
    const { kubernetesApi } = cluster.server.endpoints;
    const request = (first: string, second: string) =>
      `GET /k8s-proxy/x HTTP/1.1\r\nHost: k\r\nConnection: close\r\nOrigin: ${first}\r\nOrigin: ${second}\r\n` +
      `Cookie: ${aliceCookie}\r\nGitlab-Agent-Id: 1\r\nX-Csrf-Token: alice-csrf\r\n\r\n`;
    assert.match(await rawExchange(kubernetesApi, request('http://evil.example', GITLAB)), /^HTTP\/1\.1 403 /);
    const answer = await rawExchange(kubernetesApi, request(GITLAB, 'http://evil.example'));
    assert.doesNotMatch(answer.split('\r\n\r\n')[0] ?? '', /evil/);
  });

  test('a WebSocket of another site is refused before the cluster hears of it', async () => {
    const before = timesAsked(cluster);
    const answer = await rawExchange(
      cluster.server.endpoints.kubernetesApi,
      `GET /k8s-proxy/exec?gitlab-agent-id=1&gitlab-csrf-token=alice-csrf HTTP/1.1\r\nHost: k\r\nOrigin: http://evil.example\r\n` +
        `Cookie: ${aliceCookie}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.equal(timesAsked(cluster), before);
  });

  test('GitLab’s own page is served, and neither cookie nor token reach the cluster', async () => {
    for (const [headers, query] of [
      [{ ...aliceInBrowser, origin: GITLAB }, ''],
      [
        { cookie: `${aliceCookie}; other=1`, origin: GITLAB },
        '?gitlab-agent-id=1&gitlab-csrf-token=alice-csrf&limit=5',
      ],
    ] as const) {
      const answer = await cluster.ask({ path: `/api/v1/pods${query}`, token: null, headers });
      assert.equal(answer.headers['access-control-allow-origin'], GITLAB);
      const echo = echoOf(answer);
      for (const name of ['cookie', 'x-csrf-token', 'gitlab-agent-id']) assert.equal(headerOf(echo, name), undefined);
      assert.doesNotMatch(JSON.stringify(echo), /alice.csrf|_gitlab_kas|gitlab-agent-id/);
    }
  });
});
