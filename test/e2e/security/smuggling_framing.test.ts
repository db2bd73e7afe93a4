// Where one request ends and the next begins: nginx, this server and the cluster's must agree, or one user's bytes become
// another user's request. What can be read in two ways is refused; what passes is framed anew.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Cluster } from '../../support/cluster.ts';
import { startEchoCluster } from '../../support/echo_cluster.ts';
import type { Endpoint } from '../../support/endpoint.ts';
import { rawExchange } from '../../support/http1.ts';
import { type Nginx, nginxProgram, startNginx } from '../../support/nginx.ts';
import { makeTls } from '../../support/tls.ts';

/** What would be a second request, of somebody else, if framing were misread. */
const SMUGGLED = 'GET /k8s-proxy/smuggled HTTP/1.1\r\nHost: k\r\nX: ';
const chunked = `0\r\n\r\n${SMUGGLED}`;

/** Header lines and body after an ordinary head. */
const ambiguous: Record<string, string> = {
  'CL and TE': `Content-Length: ${chunked.length}\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  'TE and CL': `Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${chunked}`,
  'two lengths': `Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  'two lengths in one line': `Content-Length: 0, ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  'a length with a sign': `Content-Length: +4\r\n\r\nabcd${SMUGGLED}`,
  'a negative length': `Content-Length: -1\r\n\r\n${SMUGGLED}`,
  'a length in hex': `Content-Length: 0x4\r\n\r\nabcd${SMUGGLED}`,
  'a length with a blank in it': `Content-Length: 1 0\r\n\r\n${SMUGGLED}`,
  'a length beyond 64 bits': `Content-Length: 18446744073709551620\r\n\r\nabcd${SMUGGLED}`,
  'chunked, identity': `Transfer-Encoding: chunked, identity\r\n\r\n${chunked}`,
  'identity, then chunked in a second line': `Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  'chunked twice': `Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  xchunked: `Transfer-Encoding: xchunked\r\n\r\n${chunked}`,
  'chunked with a vertical tab': `Transfer-Encoding: \x0bchunked\r\n\r\n${chunked}`,
  'chunked in quotes': `Transfer-Encoding: "chunked"\r\n\r\n${chunked}`,
  'gzip, chunked': `Transfer-Encoding: gzip, chunked\r\n\r\n${chunked}`,
  'a blank before the colon': `Transfer-Encoding : chunked\r\n\r\n${chunked}`,
  'a folded line': `Transfer-Encoding:\r\n chunked\r\n\r\n${chunked}`,
  'a folded line after another header': `X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n${chunked}`,
  'a bare LF in the head': `X-A: b\nTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  'a bare CR in a value': `X-A: b\rTransfer-Encoding: chunked\r\n\r\n${chunked}`,
  'NUL in a value': 'X-A: b\0c\r\n\r\n',
  'NUL in a name': 'X\0A: b\r\n\r\n',
  'chunked, though HTTP/1.0 knows no chunks': `Transfer-Encoding: chunked\r\n\r\n${chunked}`,
  'a chunk size with a sign': 'Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n',
  'a chunk size in hex with 0x': 'Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n',
  'a chunk size beyond 64 bits': `Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n${SMUGGLED}\r\n0\r\n\r\n`,
  'a chunk longer than it says': 'Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n',
  'a bare LF after a chunk size': `Transfer-Encoding: chunked\r\n\r\n1\nx\r\n${chunked}`,
};

/** What is framed in one way only, and has to pass. */
const plain: Record<string, [head: string, body: string]> = {
  'a length': ['Content-Length: 4\r\n\r\nabcd', 'abcd'],
  chunks: ['Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;ext=x\r\nd\r\n0\r\nTrailer-X: y\r\n\r\n', 'abcd'],
  CHUNKED: ['Transfer-Encoding: CHUNKED\r\n\r\n4\r\nabcd\r\n0\r\n\r\n', 'abcd'],
};

describe('framing', () => {
  let cluster: Cluster;
  const bodies: string[] = [];
  before(async () => {
    cluster = await startEchoCluster({
      paths: {
        '/body': (request, response) => {
          let body = '';
          request.setEncoding('latin1').on('data', (text: string) => {
            body += text;
          });
          request.on('end', () => {
            bodies.push(body);
            response.end('ok');
          });
        },
      },
    });
  });
  after(() => cluster.stop());
  afterEach(() => {
    const smuggled = cluster.backend.requests.filter(({ url }) => url.includes('smuggled'));
    assert.deepEqual(smuggled, []);
  });

  const request = (path: string, rest: string, version = '1.1') =>
    `POST ${path} HTTP/${version}\r\nHost: localhost\r\nAuthorization: Bearer ci:1:job-agent\r\n${rest}`;

  for (const [name, rest] of Object.entries(ambiguous))
    test(`${name}: refused, and the connection ends`, async () => {
      const before = bodies.length;
      const answer = await rawExchange(
        cluster.server.endpoints.kubernetesApi,
        request('/k8s-proxy/body', rest, name.includes('HTTP/1.0') ? '1.0' : '1.1'),
        5000,
      );
      const statuses = answer.match(/HTTP\/1\.1 \d\d\d/g) ?? [];
      assert.deepEqual(
        statuses.filter((status) => !/ (400|501|502)$/.test(status)),
        [],
        answer,
      );
      assert.ok(statuses.length <= 1, `answered twice: ${answer}`);
      assert.equal(bodies.length, before, 'the cluster got it');
    });

  for (const [name, [rest, body]] of Object.entries(plain))
    test(`${name}: passes whole, and so does the next request`, async () => {
      const next = request('/k8s-proxy/next', 'Connection: close\r\nContent-Length: 0\r\n\r\n');
      const answer = await rawExchange(
        cluster.server.endpoints.kubernetesApi,
        request('/k8s-proxy/body', rest) + next,
        5000,
      );
      assert.deepEqual(answer.match(/HTTP\/1\.1 \d\d\d/g), ['HTTP/1.1 200', 'HTTP/1.1 200']);
      assert.equal(bodies.at(-1), body);
      assert.equal(cluster.backend.requests.at(-1)?.url, '/next');
    });

  const skip = nginxProgram() === undefined ? 'no nginx on this machine' : false;
  if (skip) process.stderr.write(`SKIPPED: framing behind nginx: ${skip}\n`);

  test('behind nginx: nothing that one connection sends is taken for a request of another', { skip }, async () => {
    const nginx: Nginx = await startNginx(cluster.server.endpoints, makeTls());
    const endpoint: Endpoint = nginx.endpoint;
    for (const [name, rest] of Object.entries(ambiguous)) {
      const path = '/-/kubernetes-agent/k8s-proxy/k8s-proxy/body';
      const answer = await rawExchange(endpoint, request(path, `Connection: close\r\n${rest}`), 5000);
      const statuses = answer.match(/HTTP\/1\.1 \d\d\d/g) ?? [];
      assert.ok(statuses.length <= 1, `${name} was answered twice: ${answer}`);
    }
    await nginx.close();
  });
});
