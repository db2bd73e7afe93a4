// No agent is connected, or it goes away at a bad moment.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { eventually, within } from '../support/wait.ts';

describe('without an agent', { concurrency: true }, () => {
  let cluster: Cluster;
  const hanging = { arrived: 0 };
  before(async () => {
    const paths = {
      '/hang': () => {
        hanging.arrived += 1;
      },
    };
    cluster = await startCluster({ backend: await startBackend({ paths }) });
  });
  after(() => cluster.stop());

  test('a request waits 20 s, then says that no agent is there', async () => {
    const started = performance.now();
    const answer = await cluster.ask({ path: '/api', token: 'pat:9:alice-pat' });
    const seconds = (performance.now() - started) / 1000;
    assert.equal(answer.status, 502);
    assert.equal(
      (JSON.parse(answer.text) as { message: string }).message,
      'GitLab Agent Server: HTTP->gRPC: failed to read gRPC response: rpc error: code = DeadlineExceeded ' +
        'desc = Agent connection not found. Is agent up to date and connected?',
    );
    assert.ok(seconds > 19 && seconds < 25, `after ${seconds} s`);
  });

  test('a request that waits is served by an agent that comes late', async () => {
    const answer = cluster.ask({ path: '/late', token: 'pat:2:alice-pat' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await cluster.connectAgent(2);
    assert.equal((await within('the answer', 5000, answer)).status, 404);
    const line = await cluster.server.waitForLog(
      'of the request',
      ({ msg, url_path }) => msg === 'Proxied request' && url_path === '/k8s-proxy/late',
    );
    assert.equal(line.route, 'waited');
  });

  test('an agent whose connection breaks fails its requests at once and comes back', async () => {
    const answer = cluster.ask({ path: '/hang' });
    await eventually('the request at the cluster', () => hanging.arrived === 1);
    cluster.agentLink.cut();
    const { status, text } = await within('the answer', 5000, answer);
    assert.equal(status, 502, text);
    assert.equal((await within('the agent’s return', 15_000, cluster.ask({ path: '/again' }))).status, 404);
  });
});
