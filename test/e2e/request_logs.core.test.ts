// What is logged of a request, and the one id that it is found by (docs/protocol/logs.md).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';

describe('the log of requests', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({
      gitlab: {},
      backend: await startBackend(),
      config: { observability: { logging: { level: 'debug' } } },
    });
  });
  after(() => cluster.stop());

  const lastAsked = () => cluster.gitlab?.requestsTo('/authorize_proxy_user').at(-1)?.headers['x-request-id'];

  test('the client’s id goes to GitLab, and stands in our lines and beside GitLab’s own', async () => {
    const headers = { 'x-request-id': 'from-outside:1', authorization: 'Bearer pat:1:st-401-one' };
    const answer = await cluster.ask({ path: '/x', headers });
    assert.equal(answer.status, 401);
    assert.equal(lastAsked(), 'from-outside:1');
    const lines = () => cluster.server.log.filter((line) => line.correlation_id === 'from-outside:1');
    await cluster.server.waitForLog('of the refusal', () => lines().length >= 2);
    const call = lines().find(({ msg }) => msg === 'GitLab call');
    assert.match(String(call?.gitlab_correlation_id), /^rails-\d+$/);
    assert.ok(lines().some(({ msg }) => msg === 'Authorize proxy user error'));
  });

  test('an id that is none is replaced', async () => {
    const headers = { 'x-request-id': 'a "b"', authorization: 'Bearer pat:1:st-401-two' };
    await cluster.ask({ path: '/x', headers });
    const id = String(lastAsked());
    assert.match(id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
    await cluster.server.waitForLog(
      'of the refusal',
      ({ msg, correlation_id }) => msg === 'Authorize proxy user error' && correlation_id === id,
    );
  });

  test('the cluster gets what the client has sent, and nothing of ours', async () => {
    await cluster.ask({ path: '/one', headers: { 'x-request-id': 'mine' } });
    assert.equal(cluster.backend.requests.at(-1)?.headers['x-request-id'], 'mine');
    await cluster.ask({ path: '/two' });
    assert.equal(cluster.backend.requests.at(-1)?.headers['x-request-id'], undefined);
  });

  test('an agent’s question to GitLab has the id of the agent’s call', async () => {
    const asked = cluster.gitlab?.requests.find(({ path }) => path.includes('agent_info'));
    assert.match(String(asked?.headers['x-request-id']), /^[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  test('a proxied request is one line, with what became of it', async () => {
    const headers = { 'x-request-id': 'told-of' };
    await cluster.ask({ path: '/missing?token=s3cret', method: 'PUT', body: 'twelve bytes', headers });
    const line = await cluster.server.waitForLog(
      'of the request',
      ({ msg, correlation_id }) => msg === 'Proxied request' && correlation_id === 'told-of',
    );
    const {
      time: _,
      time_to_first_byte_ms: firstByteMs,
      duration_ms: durationMs,
      bytes_out: bytesOut,
      ...fields
    } = line;
    assert.deepEqual(fields, {
      level: 'debug',
      msg: 'Proxied request',
      mod_name: 'kubernetes_api',
      agent_id: 1,
      http_method: 'PUT',
      url_path: '/k8s-proxy/missing',
      credential: 'pat',
      result: 'answered',
      status: 404,
      route: 'local',
      bytes_in: 12,
      correlation_id: 'told-of',
    });
    assert.ok(Number(firstByteMs) <= Number(durationMs) && Number(bytesOut) >= 0);
  });

  test('so is one that comes no further than here', async () => {
    await cluster.ask({ path: '/x', token: null, headers: { 'x-request-id': 'turned-away' } });
    const line = await cluster.server.waitForLog(
      'of the request',
      ({ msg, correlation_id }) => msg === 'Proxied request' && correlation_id === 'turned-away',
    );
    assert.deepEqual([line.result, line.credential, line.status, line.route], ['refused', 'none', 401, undefined]);
  });
});
