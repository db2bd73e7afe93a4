// Backpressure across nodes: whoever stalls at one end stops the other, with an agent at another node than the one that is asked.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, OutgoingMessage, ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { type Nodes, startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis, type TestRedis } from '../../support/redis.ts';
import { delay, eventually } from '../../support/wait.ts';

const MIB = 1 << 20;
/** What the buffers of all sockets and windows on the way hold together is less. */
const BOUND = 64 * MIB;
// Random, because the agent compresses: of zeros a window holds gigabytes.
const chunk = randomBytes(65536);

describe('the agent is at another node', { skip: noRedis }, () => {
  let redis: TestRedis;
  let nodes: Nodes;
  let sent = 0;
  let ended = 0;
  let upload: { readonly request: IncomingMessage; readonly response: ServerResponse } | undefined;

  before(async () => {
    redis = await startRedis(undefined);
    const backend = await startBackend({
      paths: {
        '/endless': (_, response) => {
          response.writeHead(200, { 'content-type': 'application/octet-stream' });
          response.on('close', () => {
            ended += 1;
          });
          writeOn(response, (bytes) => {
            sent += bytes;
          });
        },
        '/upload': (request, response) => {
          upload = { request, response }; // and nobody reads it
        },
      },
    });
    nodes = await startNodes({ nodes: [{}, {}], redis, backend });
    await nodes.connectAgent(1, 0);
    assert.equal((await nodes.ask(1, { path: '/nothing' })).status, 404);
  });
  after(async () => {
    await nodes?.stop();
    await redis?.stop();
  });

  const memory = (): number[] => nodes.servers.map((server) => server.residentBytes());
  const assertGrewLittle = (before: readonly number[]): void => {
    for (const [node, bytes] of memory().entries()) {
      const grown = bytes - (before[node] ?? 0);
      assert.ok(grown < BOUND, `node ${node} has grown by ${grown} bytes`);
    }
  };

  test('a client that stalls stops the cluster from sending', async (t) => {
    const before = memory();
    const response = await nodes.open(1, { path: '/endless' });
    response.pause();
    const stalledAt = await standstill(() => sent);
    t.diagnostic(`${stalledAt} bytes are on the way`);
    assert.ok(stalledAt < BOUND, `${stalledAt} bytes were sent to a client that does not read`);
    assertGrewLittle(before);
    let read = 0;
    response.on('data', (bytes: Buffer) => {
      read += bytes.length;
    });
    response.resume();
    await eventually('the flow to go on', () => read > 2 * stalledAt, 20_000);
    response.destroy();
    await eventually('the end at the cluster', () => ended === 1);
  });

  test('a cluster that does not read stops the client', async (t) => {
    const before = memory();
    const request = nodes.start(1, { method: 'POST', path: '/upload' });
    const answer = new Promise<IncomingMessage>((resolve) => request.once('response', resolve));
    let written = 0;
    writeOn(request, (bytes) => {
      written += bytes;
    });
    const taken = () => written - request.writableLength;
    const stalledAt = await standstill(taken);
    t.diagnostic(`${stalledAt} bytes are on the way`);
    assert.ok(stalledAt < BOUND, `${stalledAt} bytes were taken for a cluster that does not read`);
    assertGrewLittle(before);
    const { request: arrived, response } = upload ?? assert.fail('no upload at the cluster');
    let read = 0;
    arrived.on('data', (bytes: Buffer) => {
      read += bytes.length;
    });
    await eventually('the flow to go on', () => read > 2 * stalledAt, 20_000);
    request.removeAllListeners('drain').end();
    await once(arrived, 'end');
    response.end(String(read));
    assert.equal((await answer).statusCode, 200);
    assert.equal(read, written);
  });

  test('others are served while many stall, both ways', async () => {
    const stalled = await Promise.all(Array.from({ length: 8 }, () => nodes.open(1, { path: '/endless' })));
    for (const response of stalled) response.pause();
    const uploads = Array.from({ length: 8 }, () => nodes.start(1, { method: 'POST', path: '/upload' }));
    for (const request of uploads) {
      request.on('error', () => {});
      writeOn(request, () => {});
    }
    await delay(500);
    for (const node of [0, 1]) assert.equal((await nodes.ask(node, { path: '/nothing' })).status, 404);
    for (const one of [...stalled, ...uploads]) one.destroy();
  });
});

/** Writes as long as it is taken, and again when it is. */
function writeOn(target: OutgoingMessage, wrote: (bytes: number) => void): void {
  const pump = () => {
    let more = true;
    while (more && !target.destroyed) {
      more = target.write(chunk);
      wrote(chunk.length);
    }
  };
  target.on('drain', pump);
  pump();
}

/** What `bytes` says when it has said the same for half a second. */
async function standstill(bytes: () => number): Promise<number> {
  let last = -1;
  await eventually(
    'the flow to stop',
    async () => {
      last = bytes();
      await delay(500);
      return last > 0 && bytes() === last;
    },
    20_000,
  );
  return last;
}
