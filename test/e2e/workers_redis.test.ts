// Two machines with two workers each and one Redis: a request that enters any worker finds the agent, with one hop more at most.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { freePort } from '../support/endpoint.ts';
import { ask } from '../support/http_client.ts';
import { launchCommand } from '../support/launch.ts';
import { noRedis, startRedis } from '../support/redis.ts';
import { startServer } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

const skip = noRedis || (launchCommand().flavour === 'deno' && 'there are no workers on Deno');

test('an agent of one machine is found from the other, by the URL of the machine', { skip }, async (t) => {
  const redis = await startRedis(t);
  const folder = mkdtempSync(join(tmpdir(), 'workers-redis-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const secretFile = join(folder, 'private_api.secret');
  writeFileSync(secretFile, Buffer.alloc(32, 7).toString('base64'));
  const [here, there] = [await freePort(), await freePort()];
  const config = (port: number) => ({
    server: { workers: 2 },
    redis: { server: { address: redis.address } },
    private_api: {
      listen: { address: `127.0.0.1:${port}`, authentication_secret_file: secretFile, listen_grace_period: '0.05s' },
    },
  });
  const paths = { '/hello': (_: unknown, response: ServerResponse) => response.end('hello') };
  const cluster = await startCluster({ backend: await startBackend({ paths }), config: config(here) });
  const other = await startServer({ config: config(there) });

  const key = Buffer.concat([
    Buffer.from('gitlab-kas:tunnel_tracker2:kas_by_agent_id:'),
    Buffer.from('0100000000000000', 'hex'),
  ]);
  const announced = await eventually('the agent in Redis', async () => {
    const fields = (await redis.ask('HKEYS', key)) as Buffer[];
    return fields.length > 0 && fields;
  });
  assert.deepEqual(announced.map(String), [`grpc://127.0.0.1:${here}`]);

  const headers = { authorization: 'Bearer pat:1:alice-pat' };
  for (const { endpoints } of [other, cluster.server]) {
    for (let i = 0; i < 8; i++) {
      const { status, text } = await ask(endpoints.kubernetesApi, { path: '/k8s-proxy/hello', headers });
      assert.deepEqual([status, text], [200, 'hello']);
    }
  }
  const routes = other.log.filter(({ msg }) => msg === 'Proxied request').map(({ route }) => route);
  assert.deepEqual(new Set(routes), new Set([`grpc://127.0.0.1:${here}`]));
  await other.stop();
  await cluster.stop();
  assert.deepEqual(await redis.ask('HKEYS', key), []);
});
