import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { counter, counterFamily, gaugeFamily, HistogramFamily } from './hot_metrics.ts';

async function linesOf(registry: Registry): Promise<string[]> {
  return (await registry.metrics()).trim().split('\n');
}

test('a counter without labels is there from the beginning', async () => {
  const registry = new Registry();
  const count = counter(registry, { name: 'x_total', help: 'X.' });
  assert.deepEqual(await linesOf(registry), ['# HELP x_total X.', '# TYPE x_total counter', 'x_total 0']);
  count.inc();
  count.add(2);
  assert.equal((await linesOf(registry)).at(-1), 'x_total 3');
});

test('samples are told apart by their labels, in whatever order these are given', async () => {
  const registry = new Registry();
  const family = gaugeFamily(registry, { name: 'g', help: 'G.', labelNames: ['a', 'b'] });
  family.with({ a: '1', b: '2' }).inc();
  family.with({ b: '2', a: '1' }).inc();
  family.with({ a: '12', b: '' }).dec();
  assert.deepEqual((await linesOf(registry)).slice(1), ['# TYPE g gauge', 'g{a="1",b="2"} 2', 'g{a="12",b=""} -1']);
});

test('one name is registered once', () => {
  const registry = new Registry();
  counterFamily(registry, { name: 'x_total', help: 'X.' });
  assert.throws(() => counter(registry, { name: 'x_total', help: 'X.' }));
});

test("a histogram's buckets count what is not above them", async () => {
  const registry = new Registry();
  const family = new HistogramFamily(registry, { name: 'h', help: 'H.', labelNames: ['s'], buckets: [1, 2] });
  const sample = family.with({ s: 'ok' });
  for (const value of [0, 1, 1.5, 2, 7]) sample.observe(value);
  assert.deepEqual((await linesOf(registry)).slice(1), [
    '# TYPE h histogram',
    'h_bucket{le="1",s="ok"} 2',
    'h_bucket{le="2",s="ok"} 4',
    'h_bucket{le="+Inf",s="ok"} 5',
    'h_sum{s="ok"} 11.5',
    'h_count{s="ok"} 5',
  ]);
});
