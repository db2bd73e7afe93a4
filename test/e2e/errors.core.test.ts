// Errors of the server's own on 8154: a Kubernetes Status in the media type that the client takes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';

describe('error answers', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ backend: await startBackend() });
  });
  after(() => cluster.stop());

  const refuse = (headers: Record<string, string> = {}, query = '') =>
    cluster.ask({ path: `/api${query}`, token: null, headers });

  test('JSON, as the API server writes it', async () => {
    const answer = await refuse();
    assert.equal(answer.status, 401);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.match(String(answer.headers.server), /^gitlab-kas\/v19\.3\.0\//);
    assert.equal(
      answer.text,
      '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",' +
        '"message":"GitLab Agent Server: Unauthorized: no valid credentials provided","reason":"Unauthorized","code":401}\n',
    );
  });

  test('pretty JSON for people', async () => {
    assert.match((await refuse({}, '?pretty=true')).text, /^\{\n {2}"kind": "Status",\n/);
    assert.match((await refuse({ 'user-agent': 'curl/8.0' })).text, /^\{\n {2}"kind"/);
  });

  test('YAML', async () => {
    const answer = await refuse({ accept: 'application/yaml' });
    assert.equal(answer.headers['content-type'], 'application/yaml');
    assert.match(answer.text, /^apiVersion: v1\ncode: 401\nkind: Status\n/);
  });

  test('protobuf, as controllers ask for it', async () => {
    const answer = await refuse({ accept: 'application/vnd.kubernetes.protobuf,application/json' });
    assert.equal(answer.headers['content-type'], 'application/vnd.kubernetes.protobuf');
    assert.equal(answer.body.subarray(0, 4).toString('latin1'), 'k8s\0');
    assert.match(answer.text, /no valid credentials provided/);
  });

  test('what kubectl asks for ends with JSON', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
    assert.equal((await refuse({ accept })).headers['content-type'], 'application/json');
  });

  test('406 where nothing fits', async () => {
    const answer = await refuse({ accept: 'text/html' });
    assert.equal(answer.status, 406);
    assert.match(answer.text, /^GitLab Agent Server: Failed to negotiate output media type: only the following/);
  });

  test('a path outside the prefix is a bad request', async () => {
    const answer = await ask(cluster.server.endpoints.kubernetesApi, { path: '/api/v1/pods' });
    assert.equal(answer.status, 400);
    assert.match(answer.text, /URL does not start with expected prefix/);
  });

  test('a cluster that is down is a bad gateway', async () => {
    await cluster.backend.close();
    const answer = await cluster.ask({ path: '/api' });
    assert.equal(answer.status, 502);
    const body = JSON.parse(answer.text) as { message: string; code: number };
    assert.match(body.message, /^GitLab Agent Server: HTTP->gRPC: .*code = Unavailable desc = gRPC -> HTTP/);
    assert.equal(body.code, 502);
    assert.match(answer.text, /HTTP-\\u003egRPC/, 'escaped as Go does');
  });
});
