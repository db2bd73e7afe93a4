// gitlab#542915: nginx obeys X-Accel-* headers of what it proxies to, so a cluster could make it serve something else in place of
// its answer, under GitLab's origin.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { echoOf, startEchoCluster } from '../../support/echo_cluster.ts';
import { ask } from '../../support/http_client.ts';
import { nginxProgram, startNginx } from '../../support/nginx.ts';
import { makeTls } from '../../support/tls.ts';

const accel = {
  'X-Accel-Redirect': '/-/kubernetes-agent/elsewhere',
  'x-accel-expires': '3600',
  'X-ACCEL-BUFFERING': 'yes',
  'X-Accel-Charset': 'utf-7',
  'X-Accel-Limit-Rate': '1',
  'X-Sendfile': '/etc/passwd',
  'X-LIGHTTPD-send-file': '/etc/passwd',
};
const paths = {
  '/redirects': (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(200, { 'content-type': 'text/plain', ...accel }).end('the cluster’s own answer'),
};
const config = { agent: { kubernetes_api: { extra_allowed_response_headers: Object.keys(accel).slice(0, 6) } } };

test('no X-Accel-*, nor X-Sendfile, passes, not even if the configuration wants it to', async () => {
  const cluster = await startEchoCluster({ paths, config });
  const { status, headers, text } = await cluster.ask({ path: '/redirects', token: 'ci:1:job-agent' });
  assert.deepEqual([status, text], [200, 'the cluster’s own answer']);
  assert.deepEqual(
    Object.keys(headers).filter((name) => /^x-(accel|sendfile|lighttpd)/.test(name)),
    [],
  );
  await cluster.stop();
});

const skip = nginxProgram() === undefined ? 'no nginx on this machine' : false;
if (skip) process.stderr.write(`SKIPPED: X-Accel-Redirect behind nginx: ${skip}\n`);

test('nginx in front serves what the cluster said, and nothing else', { skip }, async () => {
  const cluster = await startEchoCluster({ paths, config });
  const nginx = await startNginx(cluster.server.endpoints, makeTls());
  const headers = { authorization: 'Bearer ci:1:job-agent' };
  const through = (path: string) =>
    ask(nginx.endpoint, { path: `/-/kubernetes-agent/k8s-proxy/k8s-proxy${path}`, headers });
  // The way works at all, and ends at the cluster.
  assert.equal(echoOf(await through('/echo')).url, '/echo');
  const { status, text } = await through('/redirects');
  assert.deepEqual([status, text], [200, 'the cluster’s own answer']);
  await nginx.close();
  await cluster.stop();
});
