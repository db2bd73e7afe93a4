// Looking into a running process (docs/operations.md, debugging).
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { launchCommand } from '../support/launch.ts';
import { startServer } from '../support/server.ts';

const { flavour } = launchCommand();

function urlOf(
  server: { readonly endpoints: { readonly observability: { host: string; port: number } } },
  path: string,
) {
  const { host, port } = server.endpoints.observability;
  return `http://${host}:${port}${path}`;
}

test('the state is numbers: listeners, sessions, streams, tunnels, queues, handles, heap', async () => {
  const cluster = await startCluster({
    backend: await startBackend(),
    gitlab: {},
    config: { server: { debug: { enabled: true } } },
  });
  const answer = await fetch(urlOf(cluster.server, '/debug/state'));
  const text = await answer.text();
  const state = JSON.parse(text);
  assert.deepEqual(Object.keys(state.listeners), [
    'agentServer',
    'apiServer',
    'privateApiServer',
    'kubernetesApiServer',
  ]);
  const { address, connections, sessions, streams } = state.listeners.agentServer;
  assert.equal(address, `127.0.0.1:${cluster.server.endpoints.agent.port}`);
  assert.ok(connections >= 1 && sessions >= 1 && streams >= 2, text);
  assert.equal(state.tunnels.agents, 1);
  assert.ok(state.tunnels.idle > 0 && state.heap.used_bytes > 1e6 && state.memory.rss > 1e6, text);
  assert.deepEqual([state.waiting_requests, state.dropped_log_lines], [0, 0]);
  if (flavour !== 'deno') assert.ok(state.handles.TCPServerWrap >= 5, text);

  cluster.server.signal('SIGUSR2');
  const line = await cluster.server.waitForLog('of the state', ({ msg }) => msg === 'Debug state');
  assert.equal(line.level, 'info');
  assert.equal((line.tunnels as { agents: number }).agents, 1);
  await cluster.stop();
});

test('profiles go to a file that only the owner may read; one at a time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'profiles-'));
  const server = await startServer({ config: { server: { debug: { enabled: true, folder } } } });
  const take = (path: string) => fetch(urlOf(server, path), { method: 'POST' });
  if (flavour === 'deno') {
    const answer = await take('/debug/cpu_profile?seconds=1');
    assert.deepEqual([answer.status, /--inspect/.test(await answer.text())], [501, true]);
    await server.stop();
    return;
  }
  const [first, second] = await Promise.all([
    take('/debug/cpu_profile?seconds=1'),
    take('/debug/heap_profile?seconds=1'),
  ]);
  assert.deepEqual([first.status, second.status].sort(), [200, 409]);
  const heap = await take('/debug/heap_profile?seconds=1');
  for (const answer of [first, second, heap]) {
    if (answer.status !== 200) continue;
    const { file } = (await answer.json()) as { file: string };
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const profile = JSON.parse(readFileSync(file, 'utf8'));
    assert.ok(file.endsWith('.cpuprofile') ? profile.nodes.length > 0 : profile.head !== undefined, file);
  }
  assert.equal((await take('/debug/cpu_profile?worker=1')).status, 404);
  for (const seconds of ['0', 'x', '1000']) {
    assert.equal((await take(`/debug/cpu_profile?seconds=${seconds}`)).status, 400, seconds);
  }
  await server.stop();
});

test('nothing of it is served unless the configuration says so', async () => {
  const server = await startServer();
  assert.equal((await fetch(urlOf(server, '/debug/state'))).status, 404);
  assert.equal((await fetch(urlOf(server, '/debug/cpu_profile'), { method: 'POST' })).status, 404);
  await server.stop();
});
