import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { createLimiterMetrics } from './limiter_metrics.ts';

test("a limiter's limit and decisions", async () => {
  const registry = new Registry();
  const observe = createLimiterMetrics(registry)('gitlab_client', '{refill/s}', 50);
  observe(0, true);
  observe(60, true);
  observe(400, false);
  const lines = (await registry.metrics()).split('\n');
  const scope = ',otel_scope_name="kas",otel_scope_version=""';
  const has = (line: string) => assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  has(`limiter_limit{limiter_name="gitlab_client",unit="{refill/s}"${scope}} 50`);
  has(`limiter_block_duration_milliseconds_bucket{le="0",allowed="true",limiter_name="gitlab_client"${scope}} 1`);
  has(`limiter_block_duration_milliseconds_bucket{le="75",allowed="true",limiter_name="gitlab_client"${scope}} 2`);
  has(`limiter_block_duration_milliseconds_sum{allowed="true",limiter_name="gitlab_client"${scope}} 60`);
  has(`limiter_block_duration_milliseconds_bucket{le="250",allowed="false",limiter_name="gitlab_client"${scope}} 0`);
  has(`limiter_block_duration_milliseconds_count{allowed="false",limiter_name="gitlab_client"${scope}} 1`);
});
