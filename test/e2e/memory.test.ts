// Whatever stalls, memory stays within bounds: bytes wait where they come from.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Handler, startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { rawConnection } from '../support/http1.ts';
import { delay, eventually } from '../support/wait.ts';

const mebibyte = 1 << 20;
// Far above what is kept (some MiB), because memory that was freed in a burst stays with the process; far below what a
// server without backpressure takes: as much as is offered, which here has no end.
const allowed = 300 * mebibyte;
// Random, because the agent compresses.
const chunk = randomBytes(65536);

describe('memory', () => {
  const unread = new Set<IncomingMessage>();
  let sent = 0;
  const paths: Record<string, Handler> = {
    '/endless': (_, response) => pump(response),
    '/unread': (request) => {
      request.pause();
      unread.add(request);
      request.once('close', () => unread.delete(request));
    },
    '/fine': (_, response) => response.end('fine'),
  };

  function pump(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    const go = () => {
      let more = true;
      while (more && !response.destroyed) {
        more = response.write(chunk);
        sent += chunk.length;
      }
    };
    response.on('drain', go);
    go();
  }

  let cluster: Cluster;
  let atFirst = 0;
  before(async () => {
    cluster = await startCluster({ backend: await startBackend({ paths }) });
    for (let i = 0; i < 200; i += 1) await cluster.ask({ path: '/fine' });
  });
  after(() => cluster.stop());
  beforeEach(() => {
    atFirst = cluster.server.residentBytes();
  });

  async function settles(read: () => number): Promise<void> {
    let last = -1;
    await eventually(
      'the flow to stop',
      async () => {
        last = read();
        await delay(500);
        return read() === last;
      },
      30_000,
    );
  }

  const growth = () => cluster.server.residentBytes() - atFirst;

  test('a hundred clients that stall in the middle of a download', async () => {
    const stalled = await Promise.all(Array.from({ length: 100 }, () => cluster.open({ path: '/endless' })));
    for (const response of stalled) response.pause();
    await settles(() => sent);
    assert.ok(growth() < allowed, `grew by ${Math.round(growth() / mebibyte)} MiB`);
    assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine', 'others are served');
    for (const response of stalled) response.destroy();
  });

  test('a cluster that does not read uploads', async () => {
    const connections = await Promise.all(
      Array.from({ length: 20 }, () => rawConnection(cluster.server.endpoints.kubernetesApi)),
    );
    let written = 0;
    for (const { socket } of connections) {
      socket.write(
        'POST /k8s-proxy/unread HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer pat:1:alice-pat\r\nContent-Length: 1000000000\r\n\r\n',
      );
      const go = () => {
        while (!socket.destroyed && socket.write(chunk)) written += chunk.length;
      };
      socket.on('drain', go);
      go();
    }
    await eventually('the uploads at the cluster', () => unread.size === 20);
    await settles(() => written);
    assert.ok(growth() < allowed, `grew by ${Math.round(growth() / mebibyte)} MiB`);
    assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine', 'others are served');
    for (const connection of connections) connection.close();
    // Who does not read does not see an end either.
    for (const request of unread) request.resume();
    await eventually('the end of the uploads at the cluster', () => unread.size === 0);
  });

  test('many short requests leave nothing behind', async () => {
    for (let i = 0; i < 20; i += 1) await Promise.all(Array.from({ length: 50 }, () => cluster.ask({ path: '/fine' })));
    assert.ok(growth() < allowed, `grew by ${Math.round(growth() / mebibyte)} MiB`);
  });
});
