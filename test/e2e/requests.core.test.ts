// One request and its answer through server and agent: methods, statuses, framing, sizes, header rules.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Handler, startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { outgoingRequest } from '../support/http_client.ts';
import { rawConnection } from '../support/http1.ts';

const megabyte = 1 << 20;

const echo: Handler = (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method: request.method, url: request.url, body: Buffer.concat(chunks).toString() }));
  });
};

const digest: Handler = (request, response) => {
  const hash = createHash('sha256');
  request.pipe(hash);
  request.on('end', () => response.writeHead(201, { 'content-type': 'text/plain' }).end(hash.digest('hex')));
};

const paths: Record<string, Handler> = {
  '/echo': echo,
  '/api/v1/pods': echo,
  '/digest': digest,
  '/nocontent': (_, response) => response.writeHead(204, { 'audit-id': 'a-1' }).end(),
  '/notmodified': (_, response) => response.writeHead(304, { etag: '"1"' }).end(),
  '/redirect': (_, response) => response.writeHead(302, { location: '/elsewhere' }).end(),
  '/missing': (_, response) => response.writeHead(404, { 'content-type': 'application/json' }).end('{"code":404}'),
  '/failing': (_, response) =>
    response.writeHead(503, { 'retry-after': '7', 'content-type': 'text/plain' }).end('busy'),
  '/chunked': (_, response) => {
    response.setHeader('content-type', 'text/plain');
    response.write('one,');
    setTimeout(() => response.end('two'), 30);
  },
  '/trailers': (_, response) => {
    response.writeHead(200, { trailer: 'x-checksum', 'content-type': 'text/plain' });
    response.write('body');
    response.addTrailers({ 'x-checksum': 'c' });
    response.end();
  },
  '/big': (_, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': 32 * megabyte });
    response.end(Buffer.alloc(32 * megabyte, 'x'));
  },
  '/early': (request, response) => {
    // Answers before it has read the body, and never reads it.
    response.writeHead(413, { 'content-type': 'text/plain', connection: 'close' }).end('too much');
    request.resume();
  },
  '/headers': (_, response) => {
    response.writeHead(200, [
      ['content-type', 'application/json'],
      ['Audit-Id', 'a-1'],
      ['Warning', '299 - "one"'],
      ['Warning', '299 - "two"'],
      ['Set-Cookie', 'evil=1'],
      ['X-Accel-Redirect', '/etc/passwd'],
      ['Report-To', '{}'],
      ['X-Mine', 'allowed by the configuration'],
      ['X-Theirs', 'not allowed'],
      ['Keep-Alive', 'timeout=5'],
      ['Access-Control-Allow-Origin', '*'],
    ] as never);
    response.end('{}');
  },
};

describe('requests', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({
      backend: await startBackend({ paths }),
      config: { agent: { kubernetes_api: { extra_allowed_response_headers: ['x-mine'] } } },
    });
  });
  after(() => cluster.stop());

  test('GET carries method, path and query, and keeps the credential from the cluster', async () => {
    const answer = await cluster.ask({ path: '/api/v1/pods?labelSelector=a%3Db&limit=5' });
    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.text), {
      method: 'GET',
      url: '/api/v1/pods?labelSelector=a%3Db&limit=5',
      body: '',
    });
    const seen = cluster.backend.requests.at(-1);
    assert.equal(seen?.headers['x-csrf-token'], undefined);
    assert.doesNotMatch(JSON.stringify(seen?.rawHeaders), /alice-pat/);
    assert.match(String(seen?.headers.via), /gitlab-kas\/v19\.3\.0/);
  });

  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    test(`${method} carries its body`, async () => {
      const answer = await cluster.ask({ method, path: '/echo', body: '{"a":1}' });
      assert.deepEqual(JSON.parse(answer.text), { method, url: '/echo', body: '{"a":1}' });
    });
  }

  test('HEAD has headers and no body, and the connection stays usable', async () => {
    const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
    const head = (method: string, path: string) =>
      `${method} /k8s-proxy${path} HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer pat:1:alice-pat\r\n\r\n`;
    connection.write(head('HEAD', '/missing'));
    assert.match(await connection.readUntil('\r\n\r\n'), /^HTTP\/1.1 404 /);
    connection.write(head('GET', '/missing'));
    assert.match(await connection.readUntil('{"code":404}'), /^HTTP\/1.1 404 /);
    connection.close();
  });

  test('204 and 304 pass without a body', async () => {
    const none = await cluster.ask({ method: 'DELETE', path: '/nocontent' });
    assert.deepEqual([none.status, none.text, none.headers['audit-id']], [204, '', 'a-1']);
    const same = await cluster.ask({ path: '/notmodified' });
    assert.deepEqual([same.status, same.text, same.headers.etag], [304, '', '"1"']);
  });

  test('a redirect is handed to the client, not followed', async () => {
    const answer = await cluster.ask({ path: '/redirect' });
    assert.deepEqual([answer.status, answer.headers.location], [302, '/elsewhere']);
  });

  test('errors of the cluster are the cluster’s', async () => {
    const missing = await cluster.ask({ path: '/missing' });
    assert.deepEqual([missing.status, missing.text], [404, '{"code":404}']);
    assert.equal(missing.headers['gitlab-unauthorized'], undefined);
    const failing = await cluster.ask({ path: '/failing' });
    assert.deepEqual([failing.status, failing.text, failing.headers['retry-after']], [503, 'busy', '7']);
  });

  test('a chunked answer arrives whole', async () => {
    assert.equal((await cluster.ask({ path: '/chunked' })).text, 'one,two');
  });

  test('trailers of the cluster end the answer and do no harm', async () => {
    assert.equal((await cluster.ask({ path: '/trailers' })).text, 'body');
    assert.equal((await cluster.ask({ path: '/chunked' })).text, 'one,two');
  });

  test('a big download arrives unchanged', async () => {
    const answer = await cluster.ask({ path: '/big' });
    assert.equal(answer.headers['content-length'], String(32 * megabyte));
    assert.ok(answer.body.equals(Buffer.alloc(32 * megabyte, 'x')));
  });

  test('a big upload arrives unchanged, with and without its length', async () => {
    const body = Buffer.alloc(16 * megabyte, 'upload');
    const expected = createHash('sha256').update(body).digest('hex');
    const known = await cluster.ask({ method: 'POST', path: '/digest', body });
    assert.deepEqual([known.status, known.text], [201, expected]);
    const outgoing = outgoingRequest(cluster.server.endpoints.kubernetesApi, {
      method: 'PUT',
      path: '/k8s-proxy/digest',
      headers: { authorization: 'Bearer pat:1:alice-pat', 'transfer-encoding': 'chunked' },
    });
    const text = new Promise<string>((resolve, reject) => {
      outgoing.on('error', reject).on('response', async (response) => {
        let out = '';
        for await (const chunk of response) out += String(chunk);
        resolve(out);
      });
    });
    for (let at = 0; at < body.length; at += megabyte) outgoing.write(body.subarray(at, at + megabyte));
    outgoing.end();
    assert.equal(await text, expected);
  });

  test('an answer that comes before the body was read reaches the client', async () => {
    const answer = await cluster.ask({ method: 'POST', path: '/early', body: Buffer.alloc(1000) });
    assert.deepEqual([answer.status, answer.text], [413, 'too much']);
  });

  test('Expect: 100-continue is answered', async () => {
    const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
    connection.write(
      'POST /k8s-proxy/echo HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer pat:1:alice-pat\r\n' +
        'Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n',
    );
    assert.match(await connection.readUntil('\r\n\r\n'), /^HTTP\/1.1 100 Continue\r\n/);
    connection.write('hi');
    assert.match(await connection.readToEnd(), /"body":"hi"/);
  });

  test('only known response headers pass', async () => {
    const { headers } = await cluster.ask({ path: '/headers' });
    assert.equal(headers['audit-id'], 'a-1');
    assert.equal(headers.warning, '299 - "one", 299 - "two"');
    assert.equal(headers['x-mine'], 'allowed by the configuration');
    for (const name of ['set-cookie', 'x-accel-redirect', 'report-to', 'access-control-allow-origin', 'x-theirs'])
      assert.equal(headers[name], undefined, name);
    assert.match(String(headers.via), /gitlab-kas\/v19\.3\.0/);
  });

  test('many requests at once each get their own answer', async () => {
    const bodies = Array.from({ length: 100 }, (_, i) => `body ${i}`);
    const answers = await Promise.all(bodies.map((body) => cluster.ask({ method: 'POST', path: '/echo', body })));
    assert.deepEqual(
      answers.map((a) => (JSON.parse(a.text) as { body: string }).body),
      bodies,
    );
  });
});
