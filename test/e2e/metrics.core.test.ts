// What Prometheus finds, under upstream's names.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { startBackend } from '../support/backend.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { ask } from '../support/http_client.ts';
import { type PageMetric, parsePage } from '../support/prometheus.ts';
import { eventually } from '../support/wait.ts';

const withoutPromtool = spawnSync('promtool', ['--version']).status !== 0 && 'no promtool here (Debian: prometheus)';

const WHOLE = 'w'.repeat(5000);

describe('metrics', () => {
  let cluster: Cluster;
  before(async () => {
    const config = {
      gitlab: { api_rate_limit: { refill_rate_per_second: 123, bucket_size: 200 } },
      agent: { listen: { connections_per_token_per_minute: 4567 } },
    };
    const backend = await startBackend({
      paths: {
        '/whole': (_, response) => void response.end(WHOLE),
        '/body': (request, response) => void request.resume().on('end', () => response.end()),
        '/half': (_, response) => {
          response.writeHead(200, { 'content-length': '1000' });
          response.write('x', () => response.destroy());
        },
        '/endless': (_, response) => void response.write('x'),
      },
    });
    cluster = await startCluster({ backend, gitlab: {}, config });
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

  test('proxied requests, by what became of them and how they were authorized', async () => {
    const before = await scrape();
    await cluster.ask({ path: '/whole' });
    await cluster.ask({ path: '/body', method: 'POST', body: 'x'.repeat(1000), token: 'ci:1:job-ci' });
    await cluster.ask({ path: '/refused', token: 'pat:1:nobody' });
    await cluster.ask({ path: '/none', token: null });
    await cluster.ask({ path: '/preflight', method: 'OPTIONS', token: null });
    await assert.rejects(cluster.ask({ path: '/half' }));
    const gone = new AbortController();
    await assert.rejects(async () => {
      const response = await cluster.open({ path: '/endless', signal: gone.signal });
      gone.abort();
      await response.toArray();
    });
    const grown = async () => {
      const page = await scrape();
      return (family: string, labels: Record<string, string>, name?: string) =>
        (value(page, family, labels, name) ?? 0) - (value(before, family, labels, name) ?? 0);
    };
    const requests = (by: Awaited<ReturnType<typeof grown>>, result: string, credential: string) =>
      by('gitlab_kas_proxied_requests_total', { result, credential });
    await eventually('the last request’s end', async () => requests(await grown(), 'client_gone', 'pat') === 1);
    const by = await grown();
    assert.equal(requests(by, 'answered', 'pat'), 1);
    assert.equal(requests(by, 'answered', 'ci'), 1);
    assert.equal(requests(by, 'refused', 'pat'), 1);
    assert.equal(requests(by, 'refused', 'none'), 1);
    assert.equal(requests(by, 'answered_here', 'none'), 1);
    assert.equal(requests(by, 'cut_off', 'pat'), 1);
    assert.equal(by('gitlab_kas_proxied_bytes_total', { direction: 'received' }), 1000);
    assert.ok(by('gitlab_kas_proxied_bytes_total', { direction: 'sent' }) >= WHOLE.length);
    const firstBytes = 'gitlab_kas_proxied_time_to_first_byte_seconds';
    assert.equal(by(firstBytes, {}, `${firstBytes}_count`), 4);
    const post = { http_method: 'POST', http_status_code: '200', http_flavor: '1.1', http_scheme: 'http' };
    assert.equal(by('http_server_request_content_length_total', post), 1000);
    assert.equal(by('http_server_duration', post, 'http_server_duration_count'), 1);
    assert.ok(
      by('tunnel_routing_duration_seconds', { status: 'success' }, 'tunnel_routing_duration_seconds_count') >= 4,
    );
  });

  test('every name, type and label of upstream’s that has a meaning here', async () => {
    const file = new URL('../vectors/observability/metrics.json', import.meta.url);
    const recorded = JSON.parse(readFileSync(file, 'utf8')) as {
      metrics: Record<string, { type: string; labels: string[]; example: string }>;
    };
    const page = await scrape();
    for (const [name, { type, labels }] of Object.entries(recorded.metrics)) {
      if (/^go_/.test(name)) continue; // there is no Go runtime
      const served = page.get(name);
      assert.ok(served !== undefined, `${name} is missing`);
      assert.equal(served.type, type, name);
      const [sample] = served.samples;
      // Of Gitaly's calls, and of requests to other nodes, there were none.
      if (sample === undefined) {
        assert.match(name, /^grpc_client_/);
        continue;
      }
      const missing = labels.filter((label) => !(label in sample.labels) && !/^telemetry_sdk_/.test(label));
      assert.deepEqual(missing, [], `labels of ${name}`);
    }
  });

  test('Prometheus’ own tool reads the page', { skip: withoutPromtool }, async () => {
    const { body } = await ask(cluster.server.endpoints.observability, { path: '/metrics' });
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body });
    // Status 3: it could be read, but names are not to the linter's taste. Those are upstream's and prom-client's.
    assert.ok(status === 0 || status === 3, String(stderr));
    assert.deepEqual(`${stdout}${stderr}`.match(/^gitlab_kas_.*/gm), null);
  });

  test('how long calls have run, in the buckets that GitLab’s dashboards know', async () => {
    const family = 'grpc_server_handling_seconds';
    const labels = { grpc_service: 'gitlab.agent.agent_registrar.rpc.AgentRegistrar', grpc_method: 'Register' };
    const page = await scrape();
    const ended = value(page, 'grpc_server_handled_total', { ...labels, grpc_code: 'OK' }) ?? 0;
    assert.ok(ended > 0);
    assert.equal(value(page, family, labels, `${family}_count`), ended);
    const bounds = (page.get(family)?.samples ?? [])
      .filter(({ name, labels: of }) => name === `${family}_bucket` && of.grpc_method === 'Register')
      .map(({ labels: of }) => of.le);
    assert.deepEqual(bounds, ['0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '10', '+Inf']);
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

test('without metrics nothing is served of them', async () => {
  const backend = await startBackend({ paths: { '/whole': (_, response) => void response.end(WHOLE) } });
  const cluster = await startCluster({ backend, config: { server: { metrics: false } } });
  try {
    assert.equal((await cluster.ask({ path: '/whole' })).text, WHOLE);
    assert.equal((await ask(cluster.server.endpoints.observability, { path: '/metrics' })).status, 404);
  } finally {
    await cluster.stop();
  }
});
