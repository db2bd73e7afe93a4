import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { createHttpServerMetrics } from './http_server_metrics.ts';

const scope = {
  otel_scope_name: 'go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp',
  otel_scope_version: '',
};

async function labelsOf(registry: Registry, name: string): Promise<unknown[]> {
  const metric = registry.getSingleMetric(name) as unknown as { get(): Promise<{ values: { labels: unknown }[] }> };
  return (await metric.get()).values.map(({ labels }) => labels);
}

test('a request counts under what it was and whom it was for', async () => {
  const registry = new Registry();
  const metrics = createHttpServerMetrics(registry)('https');
  metrics.served('GET', '1.1', 200, 'kas.example:8154', 10, 20, 3);
  metrics.served('GET', '1.1', 200, 'kas.example:8154', 1, 2, 3);
  metrics.served('SEARCH', '2.0', 404, '[::1]', 0, 0, 1);
  const common = { http_scheme: 'https', ...scope };
  const first = { http_flavor: '1.1', http_method: 'GET', http_status_code: '200', net_host_name: 'kas.example' };
  const second = { http_flavor: '2.0', http_method: '_OTHER', http_status_code: '404', net_host_name: '[::1]' };
  assert.deepEqual(await labelsOf(registry, 'http_server_request_content_length_total'), [
    { ...first, net_host_port: '8154', ...common },
    { ...second, net_host_port: '', ...common },
  ]);
  const page = await registry.metrics();
  assert.match(page, /^http_server_request_content_length_total\{http_flavor="1.1".* 11$/m);
  assert.match(page, /^http_server_response_content_length_total\{http_flavor="1.1".* 22$/m);
  assert.match(page, /^http_server_duration_bucket\{le="5",http_flavor="1.1".* 2$/m);
});

test('clients cannot make as many samples as they like', async () => {
  const registry = new Registry();
  const metrics = createHttpServerMetrics(registry)('http');
  for (let i = 0; i < 1000; i++) metrics.served('GET', '1.1', 200, `host-${i}`, 0, 0, 0);
  metrics.served('GET', '1.1', 200, 'x'.repeat(10_000), 0, 0, 0);
  const labels = await labelsOf(registry, 'http_server_request_content_length_total');
  assert.equal(labels.length, 21);
  assert.equal((labels.at(-1) as { net_host_name: string }).net_host_name, '_OTHER');
});
