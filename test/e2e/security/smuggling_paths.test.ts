// Paths that nginx, this server and the cluster could read in different ways. This server takes a path apart once, after decoding
// it, cuts its prefix and sends on the rest as it is (docs/protocol/kubernetes_api.md, "Paths and queries").
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { type Echo, echoOf, headerOf, startEchoCluster, timesAsked } from '../../support/echo_cluster.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { rawExchange } from '../../support/http1.ts';
import { nginxProgram, startNginx } from '../../support/nginx.ts';
import { makeTls } from '../../support/tls.ts';

/** What the client asks for below the prefix, and what the cluster is asked. */
const passes: Record<string, [asked: string, received: string]> = {
  'an escaped slash is a slash': ['/api%2Fv1/pods', '/api/v1/pods'],
  'two slashes stay two': ['//api//v1', '//api//v1'],
  'two dots stay': ['/api/../secrets', '/api/../secrets'],
  'escaped dots are dots': ['/api/%2e%2e/secrets', '/api/../secrets'],
  'what is escaped twice is unescaped once': ['/api/%252e%252e/secrets', '/api/%252e%252e/secrets'],
  'a semicolon': ['/api;x=1/v1', '/api;x=1/v1'],
  'a backslash is escaped': ['/api\\..\\v1', '/api%5C..%5Cv1'],
  'an escaped backslash stays one': ['/api/%5c..%5cv1', '/api/%5C..%5Cv1'],
  'an escaped NUL stays escaped': ['/api/%00', '/api/%00'],
  'escaped line ends stay escaped': ['/api/%0d%0aX:%20y', '/api/%0D%0AX:%20y'],
  'an escaped question mark is no query': ['/api%3Fwatch=1', '/api%3Fwatch=1'],
  'a hash is no fragment': ['/api#x', '/api%23x'],
  'a scheme in the path': ['/http://evil.example/', '/http://evil.example/'],
};

/** Request targets that are refused. */
const refused: Record<string, string> = {
  'another prefix': '/k8s-proxyx/api',
  'the prefix without its slash': '/k8s-proxy',
  'dots before the prefix': '/../k8s-proxy/api',
  'dots that lead to the prefix': '/x/../k8s-proxy/api',
  'two slashes before it': '//k8s-proxy/api',
  'the prefix in another case': '/K8S-proxy/api',
  'no slash': 'k8s-proxy/api',
  'a bad escape': '/k8s-proxy/%zz',
  'half an escape': '/k8s-proxy/%2',
  NUL: '/k8s-proxy/\0',
  'another control character': '/k8s-proxy/\x01',
  DEL: '/k8s-proxy/\x7f',
  'a tab': '/k8s-proxy/\t',
  'an authority alone': 'kas.example:443',
  'UTF-8 cut off': '/k8s-proxy/%c3',
  'an overlong dot': '/k8s-proxy/%c0%ae%c0%ae/secrets',
};

describe('paths', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startEchoCluster();
  });
  after(() => cluster.stop());

  const get = (endpoint: Endpoint, target: string) =>
    rawExchange(
      endpoint,
      `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer ci:1:job-agent\r\n\r\n`,
    );
  const echo = (answer: string): Echo => {
    assert.match(answer, /^HTTP\/1\.1 200 /);
    return echoOf({ status: 200, text: answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1) });
  };

  for (const [name, [asked, received]] of Object.entries(passes))
    test(name, async () => {
      const { url } = echo(await get(cluster.server.endpoints.kubernetesApi, `/k8s-proxy${asked}`));
      assert.equal(url, received);
    });

  for (const [name, target] of Object.entries(refused))
    test(`${name} is refused before the cluster hears of it`, async () => {
      const before = timesAsked(cluster);
      const answer = await get(cluster.server.endpoints.kubernetesApi, target);
      assert.match(answer, /^HTTP\/1\.1 (400|502) /);
      assert.equal(timesAsked(cluster), before);
    });

  test('an escaped prefix is the prefix, once decoded', async () => {
    assert.equal(echo(await get(cluster.server.endpoints.kubernetesApi, '/k8s%2Dproxy/api')).url, '/api');
  });

  test('parameters that are meant for this server do not get through in disguise', async () => {
    const names = ['gitlab-agent-id', 'gitlab%2Dagent-id', 'gitlab-csrf-token', 'gitlab-csrf%2dtoken'];
    const query = names.map((name) => `${name}=1`).join('&');
    const { url } = echo(
      await get(cluster.server.endpoints.kubernetesApi, `/k8s-proxy/api?${query}&a=1;b=2&c=%zz&d=3`),
    );
    assert.equal(url, '/api?d=3');
  });

  const skip = nginxProgram() === undefined ? 'no nginx on this machine' : false;
  if (skip) process.stderr.write(`SKIPPED: paths behind nginx: ${skip}\n`);

  test('behind nginx: whatever the path, the cluster is asked below the proxy’s location or not at all', {
    skip,
  }, async () => {
    const nginx = await startNginx(cluster.server.endpoints, makeTls());
    const location = '/-/kubernetes-agent/k8s-proxy';
    for (const [asked, received] of [
      // nginx decodes, joins slashes and resolves dots before it looks where the location ends.
      ['/k8s-proxy/api%2Fv1', '/api/v1'],
      ['/k8s-proxy//api', '/api'],
      ['/k8s-proxy/api/../v1', '/v1'],
      ['/k8s-proxy/api/%2e%2e/v1', '/v1'],
      ['/k8s-proxy/api/%252e%252e/v1', '/api/%252e%252e/v1'],
      ['/k8s-proxy/api;x', '/api;x'],
      ['/k8s-proxy/../../../etc', undefined],
      ['/%2e%2e/%2e%2e/k8s-proxy/api', undefined],
      ['/k8s-proxy/%00', undefined],
    ] as const) {
      const before = timesAsked(cluster);
      const answer = await get(nginx.endpoint, `${location}${asked}`);
      if (received === undefined) {
        assert.doesNotMatch(answer, /^HTTP\/1\.1 200 /, asked);
        assert.equal(timesAsked(cluster), before, asked);
      } else {
        const { url } = echo(answer);
        assert.equal(url, received, asked);
        assert.equal(headerOf(echo(answer), 'authorization'), 'Bearer kube-sa-token');
      }
    }
    await nginx.close();
  });
});
