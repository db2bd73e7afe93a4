// CVE-2025-0475: what a cluster answers is shown by the browser of a signed-in user, under GitLab's origin: stored XSS. To
// requests that a browser may have made, only four types come back, and none that may be guessed at.
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { aliceInBrowser, startEchoCluster } from '../../support/echo_cluster.ts';

const HTML = '<script>alert(document.domain)</script>';

const rendered = [
  'text/html',
  'text/html; charset=utf-8',
  'TEXT/HTML',
  'application/xhtml+xml',
  'image/svg+xml',
  'text/xml',
  'application/xml',
  'text/css',
  'text/javascript',
  'application/javascript',
  'application/pdf',
  'multipart/x-mixed-replace; boundary=x',
  'application/octet-stream',
  'application/json, text/html',
  'application/json,text/html',
  'text/plain, text/html',
  'text/html;application/json',
  'application/jsonx',
  'application/json/../text/html',
  ' ',
  '',
  '*/*',
  'unknown/unknown',
];
const harmless = [
  'application/json',
  'application/json;stream=watch',
  'application/json; charset=utf-8',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
  'application/vnd.kubernetes.protobuf;stream=watch',
  'text/plain',
  'text/plain; charset=utf-8',
];

describe('what a browser could render', () => {
  let cluster: Cluster;
  before(async () => {
    const typed = ({ headers }: IncomingMessage, response: ServerResponse) => {
      const types = String(headers['x-types'] ?? '');
      const flat = types === 'none' ? [] : types.split('|').flatMap((type) => ['content-type', type]);
      response.writeHead(Number(headers['x-status'] ?? 200), flat).end(HTML);
    };
    cluster = await startEchoCluster({ paths: { '/typed': typed } });
  });
  after(() => cluster.stop());

  const inBrowser = (types: string, status = '200') =>
    cluster.ask({ path: '/typed', token: null, headers: { ...aliceInBrowser, 'x-types': types, 'x-status': status } });

  test('comes as text, and is not guessed at', async () => {
    for (const status of ['200', '404', '500'])
      for (const type of rendered) {
        const { headers, text } = await inBrowser(type, status);
        assert.equal(headers['content-type'], 'text/plain; charset=utf-8', `${status} ${type}`);
        assert.equal(headers['x-content-type-options'], 'nosniff', type);
        assert.equal(text, HTML, 'the bytes are the cluster’s');
      }
  });

  test('so does an answer without a type, and one with two', async () => {
    for (const types of ['none', 'application/json|text/html', 'text/html|application/json']) {
      const { headers, rawHeaders } = await inBrowser(types);
      assert.equal(headers['content-type'], 'text/plain; charset=utf-8', types);
      assert.equal(rawHeaders.filter((name) => name.toLowerCase() === 'content-type').length, 1, types);
      assert.equal(headers['x-content-type-options'], 'nosniff', types);
    }
  });

  test('what Kubernetes answers with stays what it is', async () => {
    for (const type of harmless) {
      const { headers } = await inBrowser(type);
      assert.equal(headers['content-type'], type);
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  });

  test('no browser sends a bearer token by itself: its answers are left as they are', async () => {
    const { headers } = await cluster.ask({
      path: '/typed',
      token: 'ci:1:job-agent',
      headers: { 'x-types': 'text/html' },
    });
    assert.equal(headers['content-type'], 'text/html');
  });

  test('answers of this server itself cannot be rendered either', async () => {
    for (const accept of ['text/html', 'application/json', 'image/svg+xml', '*/*']) {
      const { headers, status } = await cluster.ask({ path: `/typed?${HTML}`, token: null, headers: { accept } });
      assert.ok(status === 401 || status === 406);
      assert.match(headers['content-type'] ?? '', /^(application\/json|text\/plain; charset=utf-8)$/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  });
});
