// gitlab#504707: a cluster answers with NEL and Report-To, and from then on the browser reports each visit of GitLab's users to
// whom the cluster has named. Nothing that a browser would hold against this origin may come from a cluster.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { aliceInBrowser, startEchoCluster } from '../../support/echo_cluster.ts';
import { connectOptions } from '../../support/endpoint.ts';
import { rawConnection } from '../../support/http1.ts';

const endpoint = '{"group":"x","max_age":31536000,"endpoints":[{"url":"https://evil.example/"}]}';
const hostile = {
  NEL: '{"report_to":"x","max_age":31536000,"include_subdomains":true}',
  'Report-To': endpoint,
  'Reporting-Endpoints': 'x="https://evil.example/"',
  'set-cookie': '_gitlab_session=fixed; Path=/',
  'SET-COOKIE2': 'a=b',
  'Clear-Site-Data': '"*"',
  'Content-Security-Policy-Report-Only': "default-src 'self'; report-to x",
  'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
  'Public-Key-Pins': 'max-age=31536000',
  'Service-Worker-Allowed': '/',
  'Alt-Svc': 'h2="evil.example:443"',
  Refresh: '0; url=https://evil.example/',
  'Origin-Trial': 'x',
  'Access-Control-Allow-Origin': 'https://evil.example',
  'Access-Control-Expose-Headers': '*',
  SourceMap: 'https://evil.example/',
};
const names = Object.keys(hostile).map((name) => name.toLowerCase());
const wantsThemAll = {
  agent: { kubernetes_api: { extra_allowed_response_headers: ['NEL', 'report-to', 'Set-Cookie'] } },
};

describe('headers of a cluster that browsers remember', () => {
  let cluster: Cluster;
  before(async () => {
    const answer = (status: number) => (_: IncomingMessage, response: ServerResponse) =>
      void response.writeHead(status, { 'content-type': 'application/json', ...hostile }).end('{}');
    const head = Object.entries(hostile).map(([name, value]) => `${name}: ${value}\r\n`);
    const switching = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n${head.join('')}\r\n`;
    cluster = await startEchoCluster({
      paths: { '/ok': answer(200), '/no': answer(404), '/broken': answer(500), '/moved': answer(302) },
      upgrades: { '/exec': (_, socket) => void socket.write(switching) },
      config: wantsThemAll,
    });
  });
  after(() => cluster.stop());

  const assertNone = (received: readonly string[], what: string) =>
    assert.deepEqual(
      received.filter((name) => names.includes(name.toLowerCase())),
      [],
      what,
    );

  test('none passes, whatever the status, the method, the credential and the configuration', async () => {
    for (const path of ['/ok', '/no', '/broken', '/moved'])
      for (const method of ['GET', 'HEAD', 'POST'])
        for (const asked of [{ token: 'ci:1:job-agent' }, { token: null, headers: aliceInBrowser }]) {
          const answer = await cluster.ask({ method, path, ...asked });
          assertNone(Object.keys(answer.headers), `${method} ${path}`);
        }
  });

  test('nor over HTTP/2, nor with an upgrade', async () => {
    const { kubernetesApi } = cluster.server.endpoints;
    const session = connectHttp2('http://k', { createConnection: () => connect(connectOptions(kubernetesApi)) });
    const stream = session.request({ ':path': '/k8s-proxy/ok', authorization: 'Bearer ci:1:job-agent' });
    const headers = await new Promise<object>((resolve) => stream.once('response', resolve));
    assertNone(Object.keys(headers), 'HTTP/2');
    session.destroy();

    const connection = await rawConnection(kubernetesApi);
    connection.write(
      'GET /k8s-proxy/exec HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer ci:1:job-agent\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n',
    );
    const head = await connection.readUntil('\r\n\r\n');
    assert.match(head, /^HTTP\/1\.1 101 /);
    assertNone(
      head.split('\r\n').map((line) => line.split(':')[0] ?? ''),
      '101',
    );
    connection.close();
  });

  test('what is blocked is logged once, with the key that lets harmless ones pass', async () => {
    const lines = cluster.server.log.filter(({ msg }) => msg === 'Blocked Kubernetes API proxy response header');
    const blocked = lines.map(({ header }) => header);
    assert.ok(blocked.includes('Nel') && blocked.includes('Report-To'));
    assert.equal(new Set(blocked).size, blocked.length);
  });
});
