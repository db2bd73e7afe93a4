// Standard error that nobody reads, or that has no room: everybody is served as ever, memory is bounded, what is lost is counted.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';
import { launchCommand } from '../support/launch.ts';
import { startLoad } from '../support/load.ts';
import { parsePage } from '../support/prometheus.ts';
import type { LogLine } from '../support/server.ts';
import { eventually } from '../support/wait.ts';

/** A bound for the whole process, whose memory comes and goes; that of the lines alone is src/observability/log_queue.test.ts's. */
const MOST_GROWTH_BYTES = 100 << 20;
/** On a machine that is busy with other tests. Whoever waits for the log waits for ever. */
const SLOWEST_MS = 3000;

/** Lines grow with it, so that there need not be so many. */
const LONG_PATH = `/${'x'.repeat(12_000)}`;
const fine = (_: unknown, response: { end(text: string): void }) => response.end('fine');
const paths = { '/fine': fine, [LONG_PATH]: fine };

async function droppedLines({ server }: Cluster): Promise<number> {
  const { text } = await ask(server.endpoints.observability, { path: '/metrics' });
  return parsePage(text).get('gitlab_kas_dropped_log_lines_total')?.samples[0]?.value ?? Number.NaN;
}

/** Requests, each of which writes lines at debug: some until `block` is called, then until lines are dropped, and many more. */
async function serveWhileDropping(cluster: Cluster, block = () => {}): Promise<void> {
  const { server } = cluster;
  const asked = { path: `/k8s-proxy${LONG_PATH}`, headers: { authorization: 'Bearer pat:1:alice-pat' } };
  const load = startLoad(server.endpoints.kubernetesApi, asked, { connections: 16, pauseMs: 0, expected: 'fine' });
  const served = (more: number) => {
    const least = load.report.answered + more;
    return eventually(`${more} requests`, () => load.report.answered >= least, 60_000);
  };
  await served(1000); // what memory it takes to be busy
  const before = server.residentBytes();
  block();
  await eventually('lines to be dropped', async () => (await droppedLines(cluster)) > 0, 60_000);
  const atFirst = await droppedLines(cluster);
  await served(2000);
  const { lost, slowestMs } = await load.stop();
  assert.deepEqual(lost, []);
  assert.ok(slowestMs < SLOWEST_MS, `a request took ${slowestMs} ms`);
  assert.ok((await droppedLines(cluster)) > atFirst + 1000);
  const grown = server.residentBytes() - before;
  assert.ok(grown < MOST_GROWTH_BYTES, `${Math.round(grown / 2 ** 20)} MiB more`);
}

/** Two workers on Node are what they are in the executable; Deno has none. */
const workerCounts = launchCommand().flavour === 'executable' ? [1, 2] : [1];

for (const workers of workerCounts) {
  describe(`a log of ${workers} worker${workers > 1 ? 's' : ''}`, () => {
    const config = { server: { workers } };

    test('that nobody reads holds nobody up, and tells what it has lost when somebody reads again', async () => {
      const cluster = await startCluster({ config, backend: await startBackend({ paths }) });
      const { server } = cluster;
      let goOn = () => {};
      await serveWhileDropping(cluster, () => {
        goOn = server.stopReading();
      });
      goOn();
      const told = () =>
        server.log
          .filter(({ msg }: LogLine) => msg === 'Log lines dropped')
          .reduce((sum, { count }) => sum + Number(count), 0);
      await eventually(
        'the lost lines to be told of',
        async () => told() > 0 && told() === (await droppedLines(cluster)),
      );
      await cluster.ask({ path: '/fine?after' });
      await cluster.stop(); // each line that did arrive is whole
    });

    test('on a device that is full costs the lines, nothing else', async () => {
      const backend = await startBackend({ paths });
      const cluster = await startCluster({ config, backend, stderrTo: '/dev/full' });
      await serveWhileDropping(cluster);
      await cluster.stop();
    });
  });
}
