import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { TokenLimiter } from '../../../src/store/token_limiter.ts';

/** A limiter with a clock of its own that stands at the start of a minute. */
export interface LimiterUnderTest {
  readonly limiter: TokenLimiter;
  advance(ms: number): Promise<void> | void;
}

/** What every TokenLimiter must do. */
export function tokenLimiterContract(name: string, create: () => Promise<LimiterUnderTest> | LimiterUnderTest): void {
  test(`${name}: a token gets its limit in a minute and not one more`, async () => {
    const { limiter } = await create();
    for (let i = 0; i < 3; i++) assert.equal(await limiter.tryTake(hash('a'), 3), true);
    assert.equal(await limiter.tryTake(hash('a'), 3), false);
  });

  test(`${name}: tokens do not count for each other`, async () => {
    const { limiter } = await create();
    assert.equal(await limiter.tryTake(hash('a'), 1), true);
    assert.equal(await limiter.tryTake(hash('b'), 1), true);
    assert.equal(await limiter.tryTake(hash('a'), 1), false);
  });

  test(`${name}: the next minute begins at zero, a refusal counts nothing`, async () => {
    const { limiter, advance } = await create();
    await limiter.tryTake(hash('a'), 1);
    await advance(59_000);
    assert.equal(await limiter.tryTake(hash('a'), 1), false);
    assert.equal(await limiter.tryTake(hash('a'), 2), true);
    await advance(1000);
    assert.equal(await limiter.tryTake(hash('a'), 1), true);
  });

  test(`${name}: limit 0 lets nobody in`, async () => {
    const { limiter } = await create();
    assert.equal(await limiter.tryTake(hash('a'), 0), false);
  });
}

function hash(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
