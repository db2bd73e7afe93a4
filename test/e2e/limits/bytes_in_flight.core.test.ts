// More bodies at a time than memory is set aside for: it is told of, everybody shares what there is, and all of them arrive.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { startCluster } from '../../support/cluster.ts';
import { limitCount, limitIsTold } from '../../support/limit_count.ts';

const BODY = Buffer.alloc(4 << 20, 'x');
const AT_A_TIME = 4;

async function hashOf(response: IncomingMessage): Promise<string> {
  const hash = createHash('sha256');
  response.on('data', (chunk: Buffer) => hash.update(chunk));
  await once(response, 'end');
  return hash.digest('hex');
}

test('bodies that are more than the memory for them', async () => {
  const limits = {
    bytes_in_flight_per_tunnel: '64KiB',
    bytes_in_flight_per_agent_connection: '64KiB',
    bytes_in_flight: '64KiB',
  };
  const paths = { '/large': (_: unknown, response: { end(body: Buffer): void }) => response.end(BODY) };
  const cluster = await startCluster({ backend: await startBackend({ paths }), config: { server: { limits } } });
  assert.equal(await limitCount(cluster.server, 'bytes_in_flight', 'agent_api'), 0);
  const stalled = await Promise.all(Array.from({ length: AT_A_TIME }, () => cluster.open({ path: '/large' })));
  assert.ok((await limitCount(cluster.server, 'bytes_in_flight', 'agent_api')) >= AT_A_TIME - 1);
  await limitIsTold(cluster.server, 'bytes_in_flight', 'agent_api', 'server.limits.bytes_in_flight');
  const wanted = createHash('sha256').update(BODY).digest('hex');
  for (const hash of await Promise.all(stalled.map(hashOf))) assert.equal(hash, wanted);
  await cluster.stop();
});
