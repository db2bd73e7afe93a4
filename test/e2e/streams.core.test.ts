// What flows for long: watches, logs that are followed, clients that go away or read slowly.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { type Handler, startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { delay, eventually, within } from '../support/wait.ts';

const megabyte = 1 << 20;
// Random, because the agent compresses: of zeros a window holds gigabytes.
const chunk = randomBytes(65536);

describe('streams', () => {
  const watches = new Set<ServerResponse>();
  let sent = 0;
  let ended = 0;
  const paths: Record<string, Handler> = {
    '/watch': (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      watches.add(response);
      request.on('close', () => {
        watches.delete(response);
        ended += 1;
      });
    },
    '/endless': (_, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      const pump = () => {
        let more = true;
        while (more && !response.destroyed) {
          more = response.write(chunk);
          sent += chunk.length;
        }
      };
      response.on('drain', pump);
      response.on('close', () => {
        ended += 1;
      });
      pump();
    },
  };
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster({ backend: await startBackend({ paths }) });
  });
  after(() => cluster.stop());

  test('the head of a watch and each event arrive at once', async () => {
    const response = await within('the head', 2000, cluster.open({ path: '/watch?watch=true' }));
    assert.equal(response.statusCode, 200);
    const [watch] = watches;
    assert.ok(watch);
    for (const event of ['{"type":"ADDED"}\n', '{"type":"MODIFIED"}\n']) {
      const arrival = once(response, 'data');
      watch.write(event);
      const [chunk] = (await within('the event', 2000, arrival)) as [Buffer];
      assert.equal(chunk.toString(), event);
    }
    const end = once(response, 'end');
    response.resume();
    watch.end();
    await within('the end', 2000, end);
  });

  test('a client that goes away ends the cluster’s watch', async () => {
    const before = ended;
    const response = await cluster.open({ path: '/watch' });
    await eventually('the watch at the cluster', () => watches.size === 1);
    response.destroy();
    await eventually('the end of the watch at the cluster', () => ended === before + 1 && watches.size === 0);
  });

  test('a client that stalls stops the cluster from sending', async () => {
    const memory = cluster.server.residentBytes();
    const before = ended;
    sent = 0;
    const response = await cluster.open({ path: '/endless' });
    response.pause();
    let last = -1;
    await eventually(
      'the flow to stop',
      async () => {
        const same = sent === last;
        last = sent;
        await delay(300);
        return same && sent === last;
      },
      20_000,
    );
    const stalledAt = sent;
    assert.ok(stalledAt < 64 * megabyte, `${stalledAt} bytes were sent to a client that does not read`);
    assert.ok(
      cluster.server.residentBytes() - memory < 64 * megabyte,
      'the server stores what the client does not read',
    );
    let read = 0;
    response.on('data', (chunk: Buffer) => {
      read += chunk.length;
    });
    response.resume();
    await eventually('the flow to go on', () => read > 2 * stalledAt);
    response.destroy();
    await eventually('the end at the cluster', () => ended === before + 1);
  });

  test('others are served while many clients stall', async () => {
    const stalled = await Promise.all(Array.from({ length: 8 }, () => cluster.open({ path: '/endless' })));
    for (const response of stalled) response.pause();
    const answer = await within('another request', 5000, cluster.ask({ path: '/nothing' }));
    assert.equal(answer.status, 404);
    for (const response of stalled) response.destroy();
  });
});
