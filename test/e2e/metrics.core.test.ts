// What Prometheus finds, under upstream's names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from '../support/backend.ts';
import { startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';

test('the limits of rates, and what they have let through', async () => {
  const config = {
    gitlab: { api_rate_limit: { refill_rate_per_second: 123, bucket_size: 200 } },
    agent: { listen: { connections_per_token_per_minute: 4567 } },
  };
  const cluster = await startCluster({ backend: await startBackend(), gitlab: {}, config });
  try {
    const { text } = await ask(cluster.server.endpoints.observability, { path: '/metrics' });
    const sample = (name: string) => text.split('\n').find((line) => line.startsWith(`${name} `));
    assert.equal(
      sample('limiter_limit{limiter_name="gitlab_client",unit="{refill/s}"}'),
      'limiter_limit{limiter_name="gitlab_client",unit="{refill/s}"} 123',
    );
    assert.equal(
      sample('limiter_limit{limiter_name="agent_connection",unit="{connection/token/m}"}'),
      'limiter_limit{limiter_name="agent_connection",unit="{connection/token/m}"} 4567',
    );
    for (const limiter of ['gitlab_client', 'agent_connection']) {
      const count = sample(`limiter_block_duration_milliseconds_count{allowed="true",limiter_name="${limiter}"}`);
      assert.ok(Number(count?.split(' ').at(-1)) > 0, text);
    }
  } finally {
    await cluster.stop();
  }
});
