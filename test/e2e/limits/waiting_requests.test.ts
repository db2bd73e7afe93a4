// Requests that wait for an agent which is not there: only so many, for one agent and in all.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startAgent as startTestAgent } from '../../support/agent/agent.ts';
import { startBackend } from '../../support/backend.ts';
import { type Cluster, startCluster } from '../../support/cluster.ts';
import { limitCount, limitIsTold } from '../../support/limit_count.ts';
import { delay, eventually, within } from '../../support/wait.ts';

describe('requests that wait', () => {
  let cluster: Cluster;
  before(async () => {
    const paths = { '/fine': (_: unknown, response: { end(text: string): void }) => response.end('fine') };
    const limits = { waiting_requests_per_agent: 3, waiting_requests: 5 };
    cluster = await startCluster({ backend: await startBackend({ paths }), config: { server: { limits } } });
  });
  const agents: { close(): Promise<void> }[] = [];
  after(async () => {
    for (const agent of agents) await agent.close();
    await cluster.stop();
  });
  const startAgent = async (id: number) => {
    const kasAddress = `ws://localhost:${cluster.agentLink.port}/`;
    const api = { server: cluster.backend.url, authorization: () => 'Bearer kube-sa-token' };
    agents.push(await startTestAgent({ kasAddress, token: `agent-token-${id}`, cluster: api }));
  };

  test('the newest beyond the limit are refused at once, other agents and those that wait are served', async () => {
    const hangUp = new AbortController();
    const wait = (id: number) =>
      cluster.ask({ path: '/fine', token: `pat:${id}:alice-pat`, signal: hangUp.signal }).catch(() => undefined);
    const waiting = [wait(2), wait(2), wait(2)];
    await delay(300);

    const refused = await within('the refusal', 2000, cluster.ask({ path: '/fine', token: 'pat:2:alice-pat' }));
    assert.equal(refused.status, 503);
    assert.equal(refused.headers['retry-after'], '1');
    const status = JSON.parse(refused.text);
    assert.deepEqual([status.kind, status.reason, status.code], ['Status', 'ServiceUnavailable', 503]);
    assert.match(status.message, /^GitLab Agent Server: .*too many requests wait/);
    assert.equal((await cluster.ask({ path: '/fine' })).text, 'fine');

    const others = [wait(9), wait(9)];
    await delay(300);
    const full = await within('the refusal', 2000, cluster.ask({ path: '/fine', token: 'pat:9:alice-pat' }));
    assert.equal(full.status, 503);
    assert.equal(await limitCount(cluster.server, 'waiting_requests_per_agent', 'server'), 1);
    assert.equal(await limitCount(cluster.server, 'waiting_requests', 'server'), 1);
    for (const limit of ['waiting_requests_per_agent', 'waiting_requests']) {
      await limitIsTold(cluster.server, limit, 'server', `server.limits.${limit}`);
    }

    // Who waited gets what he waited for; who gave up has made room.
    await startAgent(2);
    for (const answer of await within('those that waited', 5000, Promise.all(waiting))) {
      assert.equal(answer?.text, 'fine');
    }
    hangUp.abort();
    await Promise.all(others);
    const again = cluster.ask({ path: '/fine', token: 'pat:9:alice-pat' });
    await delay(300);
    await startAgent(9);
    assert.equal((await again).text, 'fine');
    await eventually(
      'nothing more refused',
      async () => (await limitCount(cluster.server, 'waiting_requests', 'server')) === 1,
    );
  });
});
