// Two nodes behind the nginx of the Linux package. Prints what was lost, for docs/reliability.md.
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { ask, open } from '../../support/http_client.ts';
import { reportLine, startLoad } from '../../support/load.ts';
import { nginxProgram, startNginx } from '../../support/nginx.ts';
import { startNodes } from '../../support/nodes.ts';
import { noRedis, startRedis } from '../../support/redis.ts';
import { makeTls } from '../../support/tls.ts';
import { delay, eventually, within } from '../../support/wait.ts';

const skip = noRedis || (nginxProgram() === undefined && 'no nginx here: install it (Debian: nginx-light)');
const PATH = '/-/kubernetes-agent/k8s-proxy';
const headers = { authorization: 'Bearer pat:1:alice-pat' };

test('two nodes behind nginx: a node that leaves costs neither a request nor a watch at the other', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const watches = new Set<ServerResponse>();
  const backend = await startBackend({
    paths: {
      '/hello': (_, response) => response.end('hello\n'),
      '/watch': (_, response) => {
        watches.add(response);
        response.once('close', () => watches.delete(response));
        response.writeHead(200, { 'content-type': 'text/plain' }).write('first\n');
      },
    },
  });
  const tls = makeTls();
  const nodes = await startNodes({
    nodes: [{}, {}],
    redis: await startRedis(t),
    backend,
    config: { agent: { kubernetes_api: { url_path_prefix: '/' } } },
  });
  t.after(() => nodes.stop());
  const nginx = await startNginx(
    nodes.servers.map(({ endpoints }) => endpoints),
    tls,
  );
  t.after(() => nginx.close());
  const url = `wss://localhost:${nginx.endpoint.port}/-/kubernetes-agent/`;
  await nodes.connectAgent(1, { url, ca: tls.ca });
  const proxied = (node: number) => nodes.servers[node]?.log.filter(({ msg }) => msg === 'Proxied request').length ?? 0;
  for (let i = 0; i < 6; i++) {
    const { status, text } = await ask(nginx.endpoint, { path: `${PATH}/hello`, headers });
    assert.deepEqual([status, text], [200, 'hello\n']);
  }
  await eventually('both nodes to have been asked', () => proxied(0) >= 2 && proxied(1) >= 2);

  // nginx takes the nodes in turn: one watch at each.
  const heard = [0, 1].map(() => ({ text: '', ended: false }));
  for (const watch of heard) {
    const response = await open(nginx.endpoint, { path: `${PATH}/watch?watch=1`, headers });
    response.setEncoding('utf8').on('data', (text: string) => {
      watch.text += text;
    });
    response
      .on('error', () => {})
      .on('close', () => {
        watch.ended = true;
      });
  }
  await eventually('both watches', () => heard.every(({ text }) => text === 'first\n'));

  const running = startLoad(
    nginx.endpoint,
    { path: `${PATH}/hello`, headers },
    { connections: 4, pauseMs: 5, expected: 'hello\n' },
  );
  t.after(() => running.stop());
  await delay(500);
  // The one without the agent.
  const leaving = nodes.servers.find(({ log }) => log.some(({ msg }) => msg === 'Trying tunnel')) ?? assert.fail();
  leaving.signal('SIGTERM');
  await delay(1000);
  for (const watch of watches) watch.write('second\n');
  await eventually('the second event at both', () => heard.every(({ text }) => text === 'first\nsecond\n'));
  assert.equal(await within('the node’s end', 15_000, leaving.exited), 0);
  await eventually('the watch at the node that left to end', () => heard.some(({ ended }) => ended));
  for (const watch of watches) watch.write('third\n');
  await eventually('the third event', () => heard.some(({ text }) => text.endsWith('third\n')));
  const report = await running.stop();
  t.diagnostic(reportLine('a node behind nginx leaves', report));
  assert.ok(report.answered > 20);
  assert.deepEqual(report.lost, []);
  assert.deepEqual(heard.map(({ ended }) => ended).sort(), [false, true]);
  for (const watch of watches) watch.end();
});
