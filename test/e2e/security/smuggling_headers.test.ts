// Headers that this server, and whoever stands before or behind it, could read in different ways: twice the same, in odd case,
// named in Connection, injected through HTTP/2. Credentials meant for this server never reach a cluster.
import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { aliceCookie, type Echo, echoOf, headerOf, startEchoCluster, timesAsked } from '../../support/echo_cluster.ts';
import { connectOptions } from '../../support/endpoint.ts';
import { Flag, FrameType, frame, literal, PREFACE, settings } from '../../support/hostile/frames.ts';
import { rawConnection, rawExchange } from '../../support/http1.ts';
import { nginxProgram, startNginx } from '../../support/nginx.ts';
import { makeTls } from '../../support/tls.ts';
import { delay, eventually } from '../../support/wait.ts';

const token = 'Authorization: Bearer ci:1:job-agent\r\n';

/** A header field of HTTP/2, as bytes. */
type Field = readonly [name: string, value: string];

describe('headers', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startEchoCluster();
  });
  after(() => cluster.stop());

  const send = (lines: string) =>
    rawExchange(
      cluster.server.endpoints.kubernetesApi,
      `GET /k8s-proxy/x HTTP/1.1\r\nHost: k\r\nConnection: close\r\n${lines}\r\n`,
    );
  const echo = (answer: string): Echo => {
    assert.match(answer, /^HTTP\/1\.1 200 /);
    return echoOf({ status: 200, text: answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1) });
  };
  const refused = async (lines: string, status: number) => {
    const before = timesAsked(cluster);
    assert.match(await send(lines), new RegExp(`^HTTP/1\\.1 ${status} `), lines);
    assert.equal(timesAsked(cluster), before, lines);
  };

  test('two credentials are none, be they equal or in another case', async () => {
    for (const second of [
      token,
      'authorization: Bearer ci:1:job-agent\r\n',
      'AUTHORIZATION: Bearer pat:1:bob-pat\r\n',
      'Authorization:\r\n',
    ])
      await refused(token + second, 401);
    const browser = `Cookie: ${aliceCookie}\r\n`;
    await refused(`${browser}Gitlab-Agent-Id: 1\r\ngitlab-agent-id: 1\r\nX-Csrf-Token: alice-csrf\r\n`, 401);
    await refused(`${browser}Gitlab-Agent-Id: 1\r\nX-Csrf-Token: alice-csrf\r\nX-CSRF-TOKEN: alice-csrf\r\n`, 401);
  });

  test('credentials reach no cluster, in whatever case and however often they are sent', async () => {
    const answer = await send(
      `aUTHORIZATION: Bearer ci:1:job-agent\r\nCOOKIE: ${aliceCookie}\r\ncookie: a=b\r\nX-CSRF-TOKEN: alice-csrf\r\ngitlab-agent-ID: 1\r\n` +
        'Proxy-Authorization: Basic YTpi\r\nPROXY-authenticate: x\r\n',
    );
    const seen = echo(answer);
    assert.equal(headerOf(seen, 'authorization'), 'Bearer kube-sa-token');
    for (const name of ['cookie', 'x-csrf-token', 'gitlab-agent-id', 'proxy-authorization', 'proxy-authenticate'])
      assert.equal(headerOf(seen, name), undefined, name);
    assert.doesNotMatch(JSON.stringify(seen), /job-agent|alice/);
  });

  test('names that are near a credential’s are other names', async () => {
    for (const line of ['Authorization_: x', 'X-Authorization: Bearer ci:1:job-agent', 'Cookies: _gitlab_kas=x'])
      await refused(`${line}\r\n`, 401);
  });

  test('Connection removes what it names, but takes away no check and puts nothing back', async () => {
    const { headers } = echo(
      await send(`Connection: Authorization, Cookie, X-Mine, Via, close\r\nX-Mine: 1\r\nX-Other: 2\r\n${token}`),
    );
    const names = headers.map(([name]) => name);
    assert.ok(!names.includes('x-mine') && names.includes('x-other'));
    assert.ok(names.includes('via'), 'who was on the way cannot be hidden');
    // Naming the credential does not make the request one without; it does not reach the cluster either way.
    assert.equal(headers.find(([name]) => name === 'authorization')?.[1], 'Bearer kube-sa-token');
    await refused(`Connection: Origin\r\nOrigin: http://evil.example\r\n${token}`, 403);
    await refused(`Connection: Authorization\r\n${token}${token}`, 401);
  });

  test('hop-by-hop headers stop here', async () => {
    const seen = echo(
      await send(`TE: trailers\r\nTrailer: X\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n${token}`),
    );
    for (const name of ['te', 'trailer', 'keep-alive', 'proxy-connection', 'transfer-encoding'])
      assert.equal(headerOf(seen, name), undefined, name);
  });

  test('names that are no names, and values with line ends, are refused', async () => {
    for (const line of ['X Y: 1', 'X\tY: 1', ': 1', 'X(: 1', 'X\x80: 1', ' X: 1', 'X', 'X\0: 1'])
      await refused(`${token}${line}\r\n`, 400);
    for (const value of ['a\0b', 'a\rb', 'a\x01b', 'a\x7fb']) {
      const before = timesAsked(cluster);
      assert.doesNotMatch(await send(`${token}X: ${value}\r\n`), /^HTTP\/1\.1 200 /, JSON.stringify(value));
      assert.equal(timesAsked(cluster), before);
    }
  });

  describe('over HTTP/2', () => {
    let session: ClientHttp2Session;
    before(() => {
      const { kubernetesApi } = cluster.server.endpoints;
      session = connectHttp2('http://k', { createConnection: () => connect(connectOptions(kubernetesApi)) });
      session.on('error', () => {});
    });
    after(() => session.destroy());

    const ask = (headers: Record<string, string | string[]>) =>
      new Promise<{ status: number; text: string }>((resolve) => {
        const stream = session.request({ ':path': '/k8s-proxy/x', authorization: 'Bearer ci:1:job-agent', ...headers });
        let text = '';
        let status = 0;
        stream.on('response', (head) => {
          status = Number(head[':status']);
        });
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        stream.on('error', () => {}).on('close', () => resolve({ status, text }));
      });

    test('pseudo-headers become no headers, and path and method are taken apart as for HTTP/1.1', async () => {
      const { headers, url, method } = echoOf(await ask({ ':authority': 'evil.example:99999', ':scheme': 'https' }));
      assert.deepEqual([method, url], ['GET', '/x']);
      assert.deepEqual(
        headers.filter(([name]) => name.startsWith(':') || /^(authority|scheme|path|method)$/.test(name)),
        [],
      );
      for (const path of [
        '/k8s-proxy/x HTTP/1.1\r\nX: y',
        '/k8s-proxy/\r\n',
        '/k8s-proxy/\0',
        'http://evil.example',
        '*',
        '',
      ]) {
        const before = timesAsked(cluster);
        const { status } = await ask({ ':path': path });
        assert.notEqual(status, 200, JSON.stringify(path));
        assert.equal(timesAsked(cluster), before, JSON.stringify(path));
      }
    });

    test('two credentials are none', async () => {
      const cookie = [aliceCookie, 'a=b'];
      const browser = { authorization: [] as string[], cookie, 'x-csrf-token': 'alice-csrf' };
      assert.equal((await ask({ ...browser, 'gitlab-agent-id': '1' })).status, 200);
      assert.notEqual((await ask({ ...browser, 'gitlab-agent-id': ['1', '1'] })).status, 200);
    });
  });

  /** A request as bytes of HTTP/2, up to the time when its stream has been dealt with. */
  const sendBytes = async (path: string, ...more: readonly Field[]) => {
    const raw = await rawConnection(cluster.server.endpoints.kubernetesApi);
    const start = { ':method': 'GET', ':scheme': 'http', ':authority': 'k', ':path': path };
    const fields = [...Object.entries(start), ['authorization', 'Bearer ci:1:job-agent'] as const, ...more];
    const block = Buffer.concat(fields.map(([name, value]) => literal(0x00, name, value)));
    const request = frame(FrameType.Headers, Flag.EndStream | Flag.EndHeaders, 1, block);
    raw.write(Buffer.concat([PREFACE, settings(), request]));
    raw.write(frame(FrameType.Ping, 0, 0, Buffer.from('pingpong')));
    await raw.readUntil('pingpong').catch(() => '');
    await delay(100);
    raw.close();
  };

  test('HTTP/2 bytes: a decent request arrives', async () => {
    const before = timesAsked(cluster);
    await sendBytes('/k8s-proxy/x', ['x-a', 'b']);
    await eventually('the cluster to hear of it', () => timesAsked(cluster) === before + 1);
  });

  // nghttp2 leaves such fields out, where RFC 9113 would have it refuse the request: nothing of them may get through.
  for (const [name, ...fields] of [
    ['CR and LF in a value', ['x-a', 'b\r\nimpersonate-user: admin']],
    ['LF in a value', ['x-a', 'b\nx: y']],
    ['NUL in a value', ['x-a', 'b\0c']],
    ['CR and LF in a name', ['x-a\r\nx', 'b']],
    ['a colon in a name', ['x-a: b', 'c']],
    ['a blank in a name', ['x a', 'b']],
  ] as readonly [string, ...Field[]][])
    test(`HTTP/2 bytes: ${name}: the field does not arrive, and nothing that was in it`, async () => {
      const before = timesAsked(cluster);
      await sendBytes('/k8s-proxy/x', ...fields);
      const heard = cluster.backend.requests.slice(before);
      assert.ok(heard.length <= 1);
      for (const { rawHeaders } of heard)
        assert.doesNotMatch(rawHeaders.join('\n'), /^(x|x-a.*|x a|impersonate-.*)$/im);
    });

  for (const [name, ...fields] of [
    ['an upper-case name', ['X-A', 'b']],
    ['a second :path', [':path', '/k8s-proxy/y']],
    ['a second :method', [':method', 'DELETE']],
    ['a pseudo-header that there is not', [':impersonate', 'admin']],
    ['a pseudo-header after the others', ['x-a', 'b'], [':authority', 'evil.example']],
    ['Connection', ['connection', 'authorization']],
    ['Transfer-Encoding', ['transfer-encoding', 'chunked']],
    ['Upgrade', ['upgrade', 'websocket']],
    ['two content-lengths', ['content-length', '0'], ['content-length', '5']],
    ['a :path with a line end'],
  ] as readonly [string, ...Field[]][])
    test(`HTTP/2 bytes: ${name}: the stream is refused, the cluster hears nothing`, async () => {
      const before = timesAsked(cluster);
      const path = name === 'a :path with a line end' ? '/k8s-proxy/x\r\nx: y' : '/k8s-proxy/x';
      await sendBytes(path, ...fields);
      assert.equal(timesAsked(cluster), before);
    });

  const skip = nginxProgram() === undefined ? 'no nginx on this machine' : false;
  if (skip) process.stderr.write(`SKIPPED: headers behind nginx: ${skip}\n`);

  test('behind nginx: the same, and no underscore becomes a hyphen', { skip }, async () => {
    const nginx = await startNginx(cluster.server.endpoints, makeTls());
    const through = (lines: string) =>
      rawExchange(
        nginx.endpoint,
        `GET /-/kubernetes-agent/k8s-proxy/k8s-proxy/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines}\r\n`,
      );
    const seen = echo(
      await through(`${token}Impersonate_User: admin\r\nCookie: ${aliceCookie}\r\nX_CSRF_TOKEN: x\r\n`),
    );
    assert.equal(headerOf(seen, 'impersonate-user'), undefined);
    assert.equal(headerOf(seen, 'cookie'), undefined);
    const before = timesAsked(cluster);
    for (const lines of [`${token}${token}`, `${token}authorization: Bearer pat:1:bob-pat\r\n`])
      assert.match(await through(lines), /^HTTP\/1\.1 40[01] /);
    assert.equal(timesAsked(cluster), before);
    await nginx.close();
  });
});
