// The server with few file descriptors: it says so, keeps some for itself, and survives when there are none.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { startBackend } from '../../support/backend.ts';
import { startCluster } from '../../support/cluster.ts';
import { type RawConnection, rawConnection } from '../../support/http1.ts';
import { limitCount, limitIsTold } from '../../support/limit_count.ts';
import { readiness } from '../../support/server.ts';
import { delay, eventually } from '../../support/wait.ts';

const paths = { '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine') };

/** Processor time of a process in seconds, user and system. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Connections that are closed after the test, however it ends; otherwise its process would not. */
function holding(t: TestContext): RawConnection[] {
  const held: RawConnection[] = [];
  t.after(() => {
    for (const connection of held) connection.close();
  });
  return held;
}

describe('few file descriptors', { skip: process.platform !== 'linux' && 'no /proc here' }, () => {
  test('connections leave some for the server; agents, probes and those that are in are served', async (t) => {
    const cluster = await startCluster({ gitlab: {}, openFiles: 256, backend: await startBackend({ paths }) });
    const { server } = cluster;
    const warning = await server.waitForLog('about files', ({ msg }) =>
      msg.startsWith('There are fewer file descriptors'),
    );
    assert.deepEqual([warning.level, warning.file_descriptors, warning.max], ['warn', 256, 192]);
    assert.match(String(warning.hint), /ulimit -n/);
    const held = holding(t);
    for (let i = 0; i < 300; i++) {
      held.push(await rawConnection(i % 2 === 0 ? server.endpoints.kubernetesApi : server.endpoints.agent));
    }
    await eventually('refusals', async () => (await limitCount(server, 'file_descriptors', 'kubernetes_api')) > 0);
    await limitIsTold(server, 'file_descriptors', 'kubernetes_api', 'ulimit -n');
    assert.ok(openFiles(server.pid) < 256, 'some are left');
    assert.equal(await readiness(server.endpoints), 200);
    const before = cpuSeconds(server.pid);
    await delay(1000);
    assert.ok(cpuSeconds(server.pid) - before < 0.5, 'it does not spin');

    for (const connection of held) connection.close();
    const served = () => cluster.ask({ path: '/fine', token: 'ci:1:job-agent' }).catch(() => undefined);
    await eventually('room again', async () => (await served())?.text === 'fine');
    const lines = server.log.filter(({ limit }) => limit === 'file_descriptors');
    assert.ok(lines.length > 0 && lines.length <= 2, `${lines.length} lines for ${300 - 192} refusals and more`);
    await cluster.stop();
  });

  test('none left at all: nothing is accepted, nothing ends, nothing spins, and then it goes on', async (t) => {
    // So few that the connections for probes, which are not counted with the others, use up what the server keeps.
    const cluster = await startCluster({ openFiles: 48, backend: await startBackend({ paths }), agents: [] });
    const { server } = cluster;
    const held = holding(t);
    for (let i = 0; i < 80; i++) held.push(await rawConnection(server.endpoints.observability));
    await eventually('no descriptor to be left', () => openFiles(server.pid) >= 47);
    // The runtime ends those that it cannot accept, rather than leave them waiting.
    await eventually('refusals', () => held.filter(({ socket }) => socket.destroyed).length > 20);
    const before = cpuSeconds(server.pid);
    await delay(1000);
    assert.ok(cpuSeconds(server.pid) - before < 0.5, 'it does not spin');
    for (const connection of held) connection.close();
    await eventually('probes again', async () => (await readiness(server.endpoints)) === 200);
    await cluster.stop();
  });
});
