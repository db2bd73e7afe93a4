// The probes on the observability listener (docs/protocol/listeners.md).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rawExchange } from '../support/http1.ts';
import { startServer } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

test('a server that runs is alive, ready and started; one that leaves says why it is not ready', async () => {
  const server = await startServer({
    config: {
      agent: { listen: { listen_grace_period: '1s' } },
      observability: { startup_probe: { url_path: '/begun' } },
    },
  });
  const { host, port } = server.endpoints.observability;
  const probe = async (path: string) => {
    const answer = await fetch(`http://${host}:${port}${path}`, { headers: { connection: 'close' } });
    return [answer.status, await answer.text()];
  };
  for (const path of ['/liveness', '/readiness', '/begun']) assert.deepEqual(await probe(path), [200, ''], path);
  assert.equal((await probe('/startup'))[0], 404);
  server.signal('SIGTERM');
  await eventually('the readiness probe to say no', async () => (await probe('/readiness'))[0] === 500);
  assert.deepEqual(await probe('/readiness'), [500, 'server: shutting down\n']);
  assert.deepEqual(await probe('/begun'), [200, '']);
  assert.deepEqual(await probe('/liveness'), [200, '']);
  await server.stop();
  assert.equal(
    server.log.find(({ msg }) => msg === 'ReadinessProbe failed'),
    undefined,
  );
});

test('balancers that ask in HTTP/1.0, and name no host, get their answer', async () => {
  const server = await startServer({});
  const answer = await rawExchange(server.endpoints.observability, 'GET /readiness HTTP/1.0\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.[01] 200 /);
  await server.stop();
});
