// server.workers on each runtime: several processes where there can be, one and a warning where not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { launchCommand } from '../support/launch.ts';

test('server.workers: 2 serves', async () => {
  const cluster = await startCluster({ backend: await startBackend(), config: { server: { workers: 2 } } });
  for (let i = 0; i < 4; i++) assert.equal((await cluster.ask({ path: '/x' })).status, 404);
  const { log } = cluster.server;
  const workers = log.filter(({ msg }) => msg === 'A worker is ready').map(({ worker }) => worker);
  const warned = log.some(
    ({ level, msg }) => level === 'warn' && msg.startsWith('server.workers needs the executable, or Node'),
  );
  const isDeno = launchCommand().flavour === 'deno';
  assert.deepEqual([workers.sort(), warned], isDeno ? [[], true] : [[1, 2], false]);
  await cluster.stop();
});
