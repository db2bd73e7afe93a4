import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Counter, Registry } from 'prom-client';
import { parsePage } from '../../test/support/prometheus.ts';
import { counterFamily, gaugeFamily, HistogramFamily } from './hot_metrics.ts';
import { metricsPage } from './metrics_page.ts';

function registryWithEverything(): Registry {
  const registry = new Registry();
  counterFamily(registry, { name: 'a_total', help: 'Say "a\\b"\nand c.', labelNames: ['x'] })
    .with({ x: 'q"\\\n' })
    .add(1.5);
  new Counter({ name: 'b_total', help: 'B.', registers: [registry] }).inc(2);
  const levels = gaugeFamily(registry, { name: 'g', help: 'G.', labelNames: ['n'] });
  levels.with({ n: 'inf' }).value = Number.POSITIVE_INFINITY;
  levels.with({ n: 'nan' }).value = Number.NaN;
  levels.with({ n: 'big' }).value = 2 ** 64;
  new HistogramFamily(registry, { name: 'h', help: 'H.', labelNames: ['s'], buckets: [0.5] })
    .with({ s: 'a' })
    .observe(2);
  return registry;
}

async function text(accept?: string, registry = registryWithEverything()): Promise<{ type: string; text: string }> {
  const { headers, body } = await metricsPage(registry, accept, undefined);
  return { type: headers['Content-Type'] ?? '', text: body.toString() };
}

describe('the page of metrics', () => {
  test('in the text format', async () => {
    const { type, text: page } = await text();
    assert.equal(type, 'text/plain; version=0.0.4; charset=utf-8');
    const metrics = parsePage(page);
    assert.deepEqual(metrics.get('a_total')?.samples, [{ name: 'a_total', labels: { x: 'q"\\\n' }, value: 1.5 }]);
    assert.equal(metrics.get('a_total')?.help, 'Say "a\\\\b"\\nand c.');
    assert.deepEqual(
      metrics.get('g')?.samples.map(({ value }) => value),
      [Number.POSITIVE_INFINITY, Number.NaN, 2 ** 64],
    );
    assert.match(page, /^h_bucket\{s="a",le="0.5"\} 0\nh_bucket\{s="a",le="\+Inf"\} 1\nh_sum\{s="a"\} 2$/m);
  });

  test('as OpenMetrics, and as text again afterwards', async () => {
    const registry = registryWithEverything();
    const { type, text: page } = await text('application/openmetrics-text', registry);
    assert.equal(type, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    const metrics = parsePage(page, 'openmetrics');
    assert.equal(metrics.get('b')?.samples[0]?.name, 'b_total');
    assert.ok(parsePage((await text(undefined, registry)).text).has('b_total'));
  });

  const prometheus =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,' +
    'text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1';
  for (const [accept, open] of [
    [prometheus, true],
    ['text/plain', false],
    ['*/*', false],
    ['application/openmetrics-text;q=0.1, text/plain;q=0.9', false],
    ['application/openmetrics-text; version=7.0.0', false],
    ['application/openmetrics-text;q=0', false],
    ['application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.6,text/plain;q=0.3', false],
    ['', false],
  ] as const) {
    test(`${accept || 'nothing'} is answered in ${open ? 'OpenMetrics' : 'text'}`, async () => {
      assert.equal((await text(accept)).type.startsWith('application/openmetrics-text'), open);
    });
  }

  for (const [encoding, compressed] of [
    ['gzip', true],
    ['deflate, gzip;q=0.5', true],
    ['gzip;q=0', false],
    ['br', false],
    [undefined, false],
  ] as const) {
    test(`with Accept-Encoding ${encoding} it is ${compressed ? '' : 'not '}compressed`, async () => {
      const registry = new Registry();
      for (let i = 0; i < 100; i++) gaugeFamily(registry, { name: `g${i}`, help: 'G.' }).with({}).value = i;
      const { headers, body } = await metricsPage(registry, undefined, encoding);
      assert.equal(headers['Content-Encoding'], compressed ? 'gzip' : undefined);
      assert.equal(parsePage((compressed ? gunzipSync(body) : body).toString()).size, 100);
    });
  }
});
