// Whom a request acts as in the cluster is this server's to say. Where it says somebody, nothing that the client sends may add to
// it; where the agent acts as itself, its cluster's RBAC decides about the client's own Impersonate-*, as upstream has it.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { type Echo, echoOf, startEchoCluster, timesAsked } from '../../support/echo_cluster.ts';
import { connectOptions } from '../../support/endpoint.ts';
import { rawExchange } from '../../support/http1.ts';

const attempts = [
  'Impersonate-User: system:admin',
  'impersonate-user: system:admin',
  'IMPERSONATE-USER: system:admin',
  'iMPERSONATE-gROUP: system:masters',
  'Impersonate-Group: system:masters\r\nImpersonate-Group: system:nodes',
  'impersonate-uid: 0',
  'Impersonate-Extra-Scopes: all',
  'impersonate-extra-agent.gitlab.com%2fid: 99',
];

const impersonated = ({ headers }: Echo) => headers.filter(([name]) => name.startsWith('impersonate-'));

describe('impersonation', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startEchoCluster();
  });
  after(() => cluster.stop());

  const send = (token: string, lines: string) =>
    rawExchange(
      cluster.server.endpoints.kubernetesApi,
      `GET /k8s-proxy/x HTTP/1.1\r\nHost: k\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n${lines}\r\n`,
    );
  const echo = (answer: string): Echo => {
    assert.match(answer, /^HTTP\/1\.1 200 /);
    return echoOf({ status: 200, text: answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1) });
  };

  for (const token of ['ci:1:job-impersonate', 'ci:1:job-ci', 'pat:1:bob-pat'])
    test(`${token.split(':')[0]} ${token.split(/[:-]/).at(-1)}: nothing from outside is added to whom the server names`, async () => {
      const own = impersonated(echo(await send(token, '')));
      assert.ok(own.length > 1);
      for (const lines of attempts) {
        const before = timesAsked(cluster);
        // The agent refuses to nest, because the names reach it in the one case that it knows.
        const answer = await send(token, `${lines}\r\n`);
        assert.match(answer, /^HTTP\/1\.1 502.*nested impersonation/s, lines);
        assert.equal(timesAsked(cluster), before, lines);
        // Named in Connection they are gone, and only they.
        const names = lines.split('\r\n').map((line) => line.split(':')[0]);
        const without = echo(await send(token, `Connection: ${names.join(', ')}\r\n${lines}\r\n`));
        assert.deepEqual(impersonated(without), own, lines);
      }
    });

  test('the names that the server gives cannot be removed by naming them in Connection', async () => {
    const own = impersonated(echo(await send('ci:1:job-impersonate', '')));
    const names = 'Impersonate-User, Impersonate-Group, Impersonate-Uid, Impersonate-Extra-A%2fb';
    assert.deepEqual(impersonated(echo(await send('ci:1:job-impersonate', `Connection: ${names}\r\n`))), own);
  });

  test('where the agent acts as itself, the client’s own pass as they are', async () => {
    const seen = echo(
      await send('ci:1:job-agent', 'impersonate-user: jane\r\nIMPERSONATE-GROUP: a\r\nImpersonate-Group: b\r\n'),
    );
    assert.deepEqual(impersonated(seen), [
      ['impersonate-group', 'a'],
      ['impersonate-group', 'b'],
      ['impersonate-user', 'jane'],
    ]);
  });

  test('over HTTP/2, where all names are in lower case, it is no different', async () => {
    const { kubernetesApi } = cluster.server.endpoints;
    const session = connectHttp2('http://k', { createConnection: () => connect(connectOptions(kubernetesApi)) });
    const before = timesAsked(cluster);
    for (const name of ['impersonate-user', 'impersonate-group', 'impersonate-uid', 'impersonate-extra-x']) {
      const headers = { ':path': '/k8s-proxy/x', authorization: 'Bearer ci:1:job-impersonate', [name]: 'admin' };
      const status = await new Promise((resolve) =>
        session.request(headers).once('response', (head) => resolve(head[':status'])),
      );
      assert.equal(status, 502, name);
    }
    assert.equal(timesAsked(cluster), before);
    session.destroy();
  });
});
