// nginx cuts a WebSocket on which nothing comes for 60 s: an idle agent must not notice.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { frame } from '../support/doubles/grpc_frames.ts';
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
    // Who shows no token is not kept for long.
    const register = idle.session.request({
      ':method': 'POST',
      ':path': '/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register',
      'content-type': 'application/grpc',
      authorization: 'Bearer agent-token-1',
    });
    register.end(frame(Buffer.alloc(0)));
    const [trailers] = await once(register.resume(), 'trailers');
    assert.equal(trailers['grpc-status'], '0');
    await delay(75_000);
    assert.equal(cut, false, nginx.errorLog());
  } finally {
    idle.close();
    await cluster.stop(); // the agent before its way is cut (test/support/agent/hang_up.ts)
    await nginx.close();
  }
});
