// Bytes on 8154 that no decent client sends: an answer to whoever sent them, nothing for anybody else.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { rawConnection, rawExchange } from '../support/http1.ts';
import { eventually, within } from '../support/wait.ts';

const credential = 'Authorization: Bearer pat:1:alice-pat\r\n';

describe('bad input on the Kubernetes API port', () => {
  let cluster: Cluster;
  let uploads = 0;
  before(async () => {
    const paths = {
      '/upload': (request: { resume(): void; once(event: 'close', f: () => void): void }) => {
        uploads += 1;
        request.resume();
        request.once('close', () => {
          uploads -= 1;
        });
      },
      '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine'),
    };
    cluster = await startCluster({ backend: await startBackend({ paths }) });
  });
  after(() => cluster.stop());
  afterEach(async () => {
    // Whatever was sent, everybody else is served.
    assert.equal((await within('another request', 5000, cluster.ask({ path: '/fine' }))).text, 'fine');
  });

  const send = (bytes: string, ms?: number) => rawExchange(cluster.server.endpoints.kubernetesApi, bytes, ms);
  const request = (head: string) =>
    send(`GET /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\nConnection: close\r\n${credential}${head}\r\n`);

  test('what is no HTTP', async () => {
    assert.match(await send('\x16\x03\x01\x00\xa5nonsense\r\n\r\n'), /^HTTP\/1\.1 400 |^$/);
    assert.match(await send('EHLO example\r\n\r\n'), /^HTTP\/1\.1 400 /);
  });

  test('a header of 1 MiB and more', async () => {
    assert.match(await request(`X-Big: ${'x'.repeat(1.2 * 1024 * 1024)}\r\n`), /^HTTP\/1\.1 431 /);
  });

  test('very many headers', async () => {
    const answer = await request(Array.from({ length: 30_000 }, (_, i) => `X-${i}: ${'y'.repeat(40)}\r\n`).join(''));
    assert.match(answer, /^HTTP\/1\.1 431 /);
  });

  test('a Host with an impossible port', async () => {
    const answer = await send(
      `GET /k8s-proxy/fine HTTP/1.1\r\nHost: a:99999\r\nConnection: close\r\n${credential}\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 (200|400) /);
  });

  test('no Host at all', async () => {
    assert.match(await send('GET /k8s-proxy/fine HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /);
  });

  test('a client that waits for 100 Continue and is refused gets the refusal alone', async () => {
    const answer = await send(
      'POST /k8s-proxy/upload HTTP/1.1\r\nHost: k\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n',
    );
    assert.match(answer, /^HTTP\/1\.1 401 Unauthorized\r\n[\s\S]*\r\nConnection: close\r\n/);
  });

  test('framing that two parsers could read in two ways', async () => {
    for (const head of [
      'Content-Length: 4\r\nContent-Length: 5\r\n',
      'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n',
      'Transfer-Encoding: xchunked\r\n',
      'Content-Length: -1\r\n',
      'Content-Length: 1e1\r\n',
      ' Folded: x\r\n',
      'Bad Name: x\r\n',
    ])
      assert.match(
        await send(
          `POST /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\nConnection: close\r\n${credential}${head}\r\n0\r\n\r\n`,
        ),
        /^HTTP\/1\.1 (400|501) /,
        head,
      );
  });

  test('escapes that are none and paths that are no text', async () => {
    for (const path of ['/k8s-proxy/%zz', '/k8s-proxy/%', '/k8s-proxy/%ff%fe', '/k8s-proxy/a?b=%ff%zz&c=%'])
      assert.match(
        await send(`GET ${path} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n${credential}\r\n`),
        /^HTTP\/1\.1 (400|404|502) /,
        path,
      );
  });

  test('credentials that are none', async () => {
    for (const value of [
      'Bearer',
      'Bearer ',
      'Basic YTpi',
      'Bearer pat:99999999999999999999:x',
      `Bearer pat:1:${'t'.repeat(100_000)}`,
      'Bearer pat:1:\x80\xff',
    ])
      assert.match(
        await send(`GET /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\nConnection: close\r\nAuthorization: ${value}\r\n\r\n`),
        /^HTTP\/1\.1 401 /,
        value.slice(0, 40),
      );
    const cookie = 'Cookie: _gitlab_kas=%zz\r\nGitlab-Agent-Id: 1\r\nX-Csrf-Token: x\r\n';
    assert.match(
      await send(`GET /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\nConnection: close\r\n${cookie}\r\n`),
      /^HTTP\/1\.1 401 /,
    );
  });

  test('half a head is given up after a while', { timeout: 40_000 }, async () => {
    const answer = await send('GET /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\nAuthoriz', 30_000);
    assert.match(answer, /^(HTTP\/1\.1 4(00|08) .*)?$/s);
  });

  test('half a body and a client that goes away end the request at the cluster', async () => {
    const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
    connection.write(`POST /k8s-proxy/upload HTTP/1.1\r\nHost: k\r\n${credential}Content-Length: 1000000\r\n\r\nhalf`);
    await eventually('the request at the cluster', () => uploads === 1);
    connection.close();
    await eventually('its end at the cluster', () => uploads === 0);
  });

  test('a chunk that is none', async () => {
    const answer = await send(
      `POST /k8s-proxy/upload HTTP/1.1\r\nHost: k\r\n${credential}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n`,
    );
    assert.match(answer, /^(HTTP\/1\.1 (400|502) .*)?$/s);
    await eventually('its end at the cluster', () => uploads === 0);
  });

  test('methods that cannot pass are refused, not fatal', async () => {
    for (const line of [
      'CONNECT kas.example:443 HTTP/1.1',
      'BREW /k8s-proxy/fine HTTP/1.1',
      'GET http://[::1/ HTTP/1.1',
      'GET * HTTP/1.1',
    ])
      assert.match(
        await send(`${line}\r\nHost: k\r\nConnection: close\r\n\r\n`),
        /^(HTTP\/1\.1 (4\d\d|5\d\d) .*)?$/s,
        line,
      );
  });

  test('an upgrade behind a request that has no answer yet is an ordinary request, the last of its connection', async () => {
    const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
    connection.write(
      `GET /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\n${credential}\r\n` +
        `GET /k8s-proxy/x HTTP/1.1\r\nHost: k\r\n${credential}Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n` +
        `GET /k8s-proxy/fine HTTP/1.1\r\nHost: k\r\nConnection: close\r\n${credential}\r\n`,
    );
    const answers = (await connection.readToEnd()).match(/HTTP\/1\.1 \d{3}/g);
    assert.deepEqual(answers, ['HTTP/1.1 200', 'HTTP/1.1 404']);
    assert.deepEqual(
      cluster.server.log.filter(({ msg }) => /defect/i.test(msg)),
      [],
    );
  });

  test('an HTTP/2 preface followed by nonsense', async () => {
    const answer = await send(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\xff'.repeat(1000)}`);
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/);
  });
});
