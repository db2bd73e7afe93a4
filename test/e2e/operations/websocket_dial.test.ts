// docs/operations.md, "An agent’s WebSocket does not get through": the statuses of proxies in front, made with nginx.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import type { Endpoint } from '../../support/endpoint.ts';
import { root } from '../../support/launch.ts';
import { nginxProgram, startNginx } from '../../support/nginx.ts';
import { startServer } from '../../support/server.ts';
import { makeTls } from '../../support/tls.ts';
import { openWebSocket, webSocket } from '../../support/websocket.ts';

const skip = nginxProgram() === undefined ? 'no nginx here: install it (Debian: nginx)' : false;

/** The status that an agent gets in place of 101. */
async function statusOf(endpoint: Endpoint, path: string): Promise<number | undefined> {
  const socket = webSocket(endpoint, ['ws-tunnel'], path);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  socket.terminate();
  return response.statusCode;
}

test('301, 404 and 502 come from the proxy, for the reasons that the page gives', { skip }, async () => {
  const page = readFileSync(`${root}docs/operations.md`, 'utf8');
  for (const row of [
    /^\| 301 \| .*slash at the end/m,
    /^\| 404 \| .*relative URL root/m,
    /^\| 502, 503 \| .*does not reach/m,
  ]) {
    assert.match(page, row);
  }
  const server = await startServer();
  const nginx = await startNginx(server.endpoints, makeTls());
  const right = await openWebSocket(nginx.endpoint);
  right.terminate();
  assert.equal(await statusOf(nginx.endpoint, '/-/kubernetes-agent'), 301);
  assert.equal(await statusOf(nginx.endpoint, '/gitlab/-/kubernetes-agent/'), 404);
  // The server itself has no such wishes.
  for (const path of ['/', '/-/kubernetes-agent', '/gitlab/-/kubernetes-agent/']) {
    (await openWebSocket(server.endpoints.agent, ['ws-tunnel'], path)).terminate();
  }
  await server.stop();
  assert.equal(await statusOf(nginx.endpoint, '/-/kubernetes-agent/'), 502);
  await nginx.close();
});
