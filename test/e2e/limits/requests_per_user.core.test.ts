// One user's requests: so many at a time, however they come; nobody else notices.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { startBackend, type UpgradeHandler } from '../../support/backend.ts';
import { type Cluster, startCluster } from '../../support/cluster.ts';
import { connectOptions } from '../../support/endpoint.ts';
import { rawConnection } from '../../support/http1.ts';
import { limitCount, limitIsTold, sampleValue } from '../../support/limit_count.ts';
import { eventually } from '../../support/wait.ts';

describe('requests of one user', () => {
  let cluster: Cluster;
  const paths = {
    '/fine': (_: unknown, response: ServerResponse) => void response.end('fine'),
    '/watch': (_: unknown, response: ServerResponse) => void response.write('{}\n'),
  };
  const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n';
  const upgrades: Record<string, UpgradeHandler> = {
    '/exec': (_, socket) => void socket.write(switching),
    '/refuse': (_, socket) => void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  };
  before(async () => {
    const backend = await startBackend({ paths, upgrades });
    cluster = await startCluster({ backend, config: { server: { limits: { requests_per_user: 2 } } } });
  });
  after(() => cluster.stop());

  const status = async (token?: string) => (await cluster.ask({ path: '/fine', ...(token && { token }) })).status;
  const full = () => eventually('alice to have enough', async () => (await status()) === 429);
  /** Nothing of alice's is under way: she may have both places. */
  const free = () =>
    eventually('alice to have nothing under way', async () => {
      const watches = [await cluster.open({ path: '/watch' }), await cluster.open({ path: '/watch' })];
      for (const watch of watches) watch.destroy();
      return watches.every(({ statusCode }) => statusCode === 200);
    });
  afterEach(free);

  test('one too many is told to come again, in Kubernetes’ words; others are served', async () => {
    const watches = [await cluster.open({ path: '/watch' }), await cluster.open({ path: '/watch' })];
    const before = await limitCount(cluster.server, 'requests_per_user', 'kubernetes_api');
    const overloaded = () =>
      sampleValue(cluster.server, 'gitlab_kas_proxied_requests_total{result="overloaded",credential="pat"}');
    const overloadedBefore = await overloaded();
    const refused = await cluster.ask({ path: '/fine' });
    assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '1']);
    const { kind, reason, message } = JSON.parse(refused.text);
    assert.deepEqual([kind, reason], ['Status', 'TooManyRequests']);
    assert.match(message, /^GitLab Agent Server: Too many requests of this user/);
    assert.equal(await limitCount(cluster.server, 'requests_per_user', 'kubernetes_api'), before + 1);
    await limitIsTold(cluster.server, 'requests_per_user', 'kubernetes_api', 'server.limits.requests_per_user');
    await eventually('its record', async () => (await overloaded()) === overloadedBefore + 1);
    assert.equal(await status('pat:1:bob-pat'), 200);
    for (const watch of watches) watch.destroy();
  });

  test('requests that are over do not count, well ended or not', async () => {
    for (let i = 0; i < 10; i++) assert.equal(await status(), 200);
    for (let i = 0; i < 4; i++) (await cluster.open({ path: '/watch' })).destroy();
  });

  test('a connection that was upgraded counts until it ends, one whose upgrade was refused does not', async () => {
    const upgrade = async (path: string) => {
      const connection = await rawConnection(cluster.server.endpoints.kubernetesApi);
      const headers =
        'Host: k\r\nAuthorization: Bearer pat:1:alice-pat\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n';
      connection.write(`GET /k8s-proxy${path} HTTP/1.1\r\n${headers}\r\n`);
      await connection.readUntil('\r\n\r\n');
      return connection;
    };
    const refused = [await upgrade('/refuse'), await upgrade('/refuse'), await upgrade('/refuse')];
    assert.equal(await status(), 200);
    const upgraded = [await upgrade('/exec'), await upgrade('/exec')];
    await full();
    for (const connection of [...refused, ...upgraded]) connection.close();
  });

  test('streams of HTTP/2 count each for itself', async () => {
    const { kubernetesApi } = cluster.server.endpoints;
    const session = connectHttp2('http://k', { createConnection: () => connect(connectOptions(kubernetesApi)) });
    const headers = { ':path': '/k8s-proxy/watch', authorization: 'Bearer pat:1:alice-pat' };
    const open = async () => {
      const stream = session.request(headers);
      stream.on('error', () => {}).resume();
      const [{ ':status': status }] = await once(stream, 'response');
      return { stream, status };
    };
    const streams: ClientHttp2Stream[] = [];
    try {
      // Those of the test before may still be on their way out.
      await eventually('two streams', async () => {
        const { stream, status } = await open();
        if (status === 200) streams.push(stream);
        return streams.length === 2;
      });
      assert.equal((await open()).status, 429);
      for (const stream of streams) stream.close();
      await free();
    } finally {
      session.destroy();
    }
  });

  test('a client that goes before GitLab, or the cluster, has said anything is forgotten', async () => {
    for (let i = 0; i < 5; i++) {
      const hangUp = new AbortController();
      const asked = cluster.ask({ path: '/watch', signal: hangUp.signal }).catch((error: IncomingMessage) => error);
      await new Promise((resolve) => setImmediate(resolve));
      hangUp.abort();
      await asked;
    }
  });
});
