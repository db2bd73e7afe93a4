// nginx cuts a WebSocket on which nothing comes for 60 s: an idle agent must not notice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { nginxProgram, startNginx } from '../support/nginx.ts';
import { makeTls } from '../support/tls.ts';
import { delay } from '../support/wait.ts';
import { grpcInWebSocket } from '../support/websocket.ts';

const skip = nginxProgram() === undefined ? 'no nginx on this machine' : false;
if (skip) process.stderr.write(`SKIPPED: an idle agent behind nginx: ${skip}\n`);

test('an idle agent behind nginx stays connected for longer than nginx’s read timeout', {
  skip,
  timeout: 120_000,
}, async () => {
  const tls = makeTls();
  const paths = { '/fine': (_: unknown, response: { end(s: string): void }) => response.end('fine') };
  const cluster = await startCluster({ agents: [], urlPathPrefix: '/', backend: await startBackend({ paths }) });
  const nginx = await startNginx(cluster.server.endpoints, tls);
  // This client never sends anything by itself; the server's pings alone keep the connection.
  const idle = await grpcInWebSocket(nginx.endpoint);
  let cut = false;
  idle.session.once('close', () => {
    cut = true;
  });
  try {
    await delay(75_000);
    assert.equal(cut, false, nginx.errorLog());
  } finally {
    idle.close();
    await nginx.close();
    await cluster.stop();
  }
});
