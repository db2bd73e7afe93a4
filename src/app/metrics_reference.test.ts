import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { metricsReference } from './metrics_reference.ts';

test('docs/metrics.md has the table of all metrics', () => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  assert.ok(page.endsWith(`\n${metricsReference()}`), 'run scripts/node scripts/metrics_reference.ts');
});
