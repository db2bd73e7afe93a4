import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lifetime } from './lifetime.ts';

test('entries live as configured, those of many agents longer once they are renewed', () => {
  const lifetime = new Lifetime({ ttlMs: 300_000, refreshMs: 240_000 });
  assert.equal(lifetime.firstMs, 300_000);
  assert.equal(lifetime.renewedMs(1000), 300_000);
  assert.equal(lifetime.renewedMs(1001), 900_000);
  assert.equal(lifetime.marginMs, 60_000);
});

test('whatever is configured, what is to be renewed is looked for several times before it expires', () => {
  for (const [ttlMs, refreshMs] of [
    [300_000, 240_000],
    [1000, 500],
    [10_000, 9990],
  ] as const) {
    const lifetime = new Lifetime({ ttlMs, refreshMs });
    assert.ok(lifetime.lookEveryMs > 0 && lifetime.lookEveryMs <= lifetime.marginMs / 2);
  }
});
