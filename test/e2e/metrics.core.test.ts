// What Prometheus finds, under upstream's names.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';
import { type PageMetric, parsePage } from '../support/prometheus.ts';

describe('metrics', () => {
  let cluster: Cluster;
  before(async () => {
    const config = {
      gitlab: { api_rate_limit: { refill_rate_per_second: 123, bucket_size: 200 } },
      agent: { listen: { connections_per_token_per_minute: 4567 } },
    };
    cluster = await startCluster({ backend: await startBackend(), gitlab: {}, config });
  });
  after(() => cluster.stop());

  async function scrape(): Promise<Map<string, PageMetric>> {
    const { text } = await ask(cluster.server.endpoints.observability, { path: '/metrics' });
    return parsePage(text);
  }

  function value(page: Map<string, PageMetric>, family: string, labels: Record<string, string>, name = family) {
    const fits = (sample: PageMetric['samples'][number]) =>
      sample.name === name && Object.entries(labels).every(([label, wanted]) => sample.labels[label] === wanted);
    return page.get(family)?.samples.find(fits)?.value;
  }

  test('the limits of rates, and what they have let through', async () => {
    const page = await scrape();
    assert.equal(value(page, 'limiter_limit', { limiter_name: 'gitlab_client', unit: '{refill/s}' }), 123);
    const perToken = { limiter_name: 'agent_connection', unit: '{connection/token/m}' };
    assert.equal(value(page, 'limiter_limit', perToken), 4567);
    const family = 'limiter_block_duration_milliseconds';
    for (const limiter of ['gitlab_client', 'agent_connection']) {
      const labels = { allowed: 'true', limiter_name: limiter };
      assert.ok((value(page, family, labels, `${family}_count`) ?? 0) > 0, limiter);
    }
    assert.ok(page.get('limiter_limit')?.samples.some(({ labels }) => labels.limiter_name === 'gitaly_client_global'));
  });

  test('the calls of agents', async () => {
    const page = await scrape();
    const connect = { grpc_service: 'gitlab.agent.reverse_tunnel.rpc.ReverseTunnel', grpc_method: 'Connect' };
    assert.ok((value(page, 'grpc_server_started_total', { ...connect, grpc_type: 'bidi_stream' }) ?? 0) > 0);
    assert.ok((value(page, 'grpc_server_requests_in_flight', connect) ?? 0) > 0);
    assert.ok((value(page, 'grpc_server_msg_received_total', connect) ?? 0) > 0);
    assert.ok((value(page, 'gitlab_kas_tunnels', { state: 'idle' }) ?? 0) > 0);
    assert.equal(value(page, 'gitlab_kas_agents', {}), 1);
  });

  test('compressed, and as OpenMetrics, if Prometheus asks so', async () => {
    const headers = { accept: 'application/openmetrics-text;version=1.0.0', 'accept-encoding': 'gzip' };
    const answer = await ask(cluster.server.endpoints.observability, { path: '/metrics', headers });
    assert.equal(answer.headers['content-encoding'], 'gzip');
    assert.match(String(answer.headers['content-type']), /^application\/openmetrics-text; version=1\.0\.0/);
    const page = parsePage(gunzipSync(answer.body).toString(), 'openmetrics');
    assert.ok(
      (value(page, 'promhttp_metric_handler_requests', { code: '200' }, 'promhttp_metric_handler_requests_total') ??
        0) > 0,
    );
  });
});
