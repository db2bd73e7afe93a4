// A request that enters one node reaches the agent that is connected to another.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test } from 'node:test';
import { type Backend, startBackend } from '../../support/backend.ts';
import { ask } from '../../support/http_client.ts';
import { startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { eventually } from '../../support/wait.ts';

const MIB = 1 << 20;

async function backendOfEverything(): Promise<Backend> {
  return await startBackend({
    paths: {
      '/hello': (_, response) => response.end('hello\n'),
      '/big': (_, response) => response.end(Buffer.alloc(16 * MIB, 'b')),
      '/upload': (request, response) => void upload(request, response),
      '/watch': (_, response) => void response.writeHead(200, { 'content-type': 'application/json' }).write('first\n'),
      '/missing': (_, response) => response.writeHead(404, { 'content-type': 'text/plain' }).end('no\n'),
    },
    upgrades: {
      '/exec': (_, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
        socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
        socket.on('end', () => socket.end());
      },
    },
  });
}

async function upload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of request) hash.update(chunk as Buffer);
  response.end(hash.digest('hex'));
}

for (const network of ['tcp', 'unix'] as const) {
  test(`two nodes, private API on ${network}`, { skip: noRedis }, async (t) => {
    const redis = await startRedis(t);
    const backend = await backendOfEverything();
    const nodes = await startNodes({ nodes: [{}, {}], redis, backend, network });
    t.after(() => nodes.stop());
    await nodes.connectAgent(1, 0);

    await t.test('a GET', async () => {
      for (const node of [0, 1, 1, 0]) {
        const { status, text } = await nodes.ask(node, { path: '/hello' });
        assert.deepEqual([node, status, text], [node, 200, 'hello\n']);
      }
      const lines = nodes.servers[1]?.log.filter(({ msg }) => msg === 'Trying tunnel') ?? [];
      const own = nodes.servers[0]?.log.find(({ msg }) => msg === 'Using own private API URL');
      assert.match(String(own?.url), network === 'unix' ? /^unix:\/\// : /^grpc:\/\//);
      assert.equal(lines[0]?.kas_url, own?.url);
      const line = await nodes.servers[1]?.waitForLog('of the request', ({ msg }) => msg === 'Proxied request');
      assert.equal(line?.route, own?.url);
    });

    await t.test('one id from the entry to GitLab and to the node that has the agent', async () => {
      const token = 'pat:1:bob-pat'; // whom GitLab has not been asked about
      await nodes.ask(1, { path: '/hello', token, headers: { 'x-request-id': 'from-outside:7' } });
      const asked = nodes.gitlab.requestsTo('/authorize_proxy_user').at(-1);
      assert.equal(asked?.headers['x-request-id'], 'from-outside:7');
      const line = await nodes.servers[0]?.waitForLog(
        'at the node with the agent',
        ({ msg, correlation_id }) => msg === 'Request of another node' && correlation_id === 'from-outside:7',
      );
      assert.equal(line?.agent_id, 1);
    });

    await t.test('a status of the cluster', async () => {
      const { status, text } = await nodes.ask(1, { path: '/missing' });
      assert.deepEqual([status, text], [404, 'no\n']);
    });

    await t.test('big bodies both ways', async () => {
      const { body } = await nodes.ask(1, { path: '/big' });
      assert.equal(body.length, 16 * MIB);
      const sent = Buffer.alloc(16 * MIB, 'u');
      const { text } = await nodes.ask(1, { method: 'POST', path: '/upload', body: sent });
      assert.equal(text, createHash('sha256').update(sent).digest('hex'));
    });

    await t.test('a watch arrives at once, and its client’s end reaches the cluster', async () => {
      const response = await nodes.open(1, { path: '/watch' });
      const [first] = await once(response, 'data');
      assert.equal(String(first), 'first\n');
      const open = backend.connections.size;
      response.destroy();
      await eventually('the cluster to be told', () => backend.connections.size < open);
    });

    await t.test('an upgraded connection', async () => {
      const request = nodes.start(1, { path: '/exec', headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1' } });
      request.end();
      const [response, socket] = await once(request, 'upgrade');
      assert.equal(response.statusCode, 101);
      socket.write('shout');
      const [answer] = await once(socket, 'data');
      assert.equal(String(answer), 'SHOUT');
      socket.end();
      await once(socket, 'close');
    });

    await t.test('the metrics count the node that was asked', async () => {
      const observability = nodes.servers[1]?.endpoints.observability ?? assert.fail();
      const { text } = await ask(observability, { path: '/metrics' });
      assert.match(text, /^gitlab_kas_peers 1$/m);
    });

    await t.test('many at once', async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => nodes.ask(i % 2, { path: '/hello' })));
      assert.ok(answers.every(({ status, text }) => status === 200 && text === 'hello\n'));
    });
  });
}
