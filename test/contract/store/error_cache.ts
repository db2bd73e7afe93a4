import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ErrorCache } from '../../../src/store/error_cache.ts';

/** A cache with a clock of its own. */
export interface ErrorCacheUnderTest {
  readonly cache: ErrorCache;
  advance(ms: number): Promise<void> | void;
}

const forbidden = { status: 403, path: '/api/v4/job/allowed_agents', reason: 'für Ä' };
const unauthorized = { status: 401, path: '/x', reason: '' };

/** What every ErrorCache must do. */
export function errorCacheContract(
  name: string,
  create: () => Promise<ErrorCacheUnderTest> | ErrorCacheUnderTest,
): void {
  test(`${name}: an error comes back whole`, async () => {
    const { cache } = await create();
    await cache.set('allowed_agents_errs', hash('a'), forbidden, 1000);
    assert.deepEqual(await cache.get('allowed_agents_errs', hash('a')), forbidden);
  });

  test(`${name}: neither another kind nor another credential has it`, async () => {
    const { cache } = await create();
    await cache.set('allowed_agents_errs', hash('a'), forbidden, 1000);
    assert.equal(await cache.get('agent_info_errs', hash('a')), undefined);
    assert.equal(await cache.get('allowed_agents_errs', hash('b')), undefined);
  });

  test(`${name}: an error is forgotten after its time`, async () => {
    const { cache, advance } = await create();
    await cache.set('agent_info_errs', hash('a'), forbidden, 1000);
    await advance(900);
    assert.deepEqual(await cache.get('agent_info_errs', hash('a')), forbidden);
    await advance(100);
    assert.equal(await cache.get('agent_info_errs', hash('a')), undefined);
  });

  test(`${name}: who looks for both finds the error, and no answer where none was left`, async () => {
    const { cache } = await create();
    const kinds = { errors: 'agent_info_errs', answers: 'agent_info' };
    assert.deepEqual({ ...(await cache.look(kinds, hash('a'))) }.error, undefined);
    await cache.set('agent_info_errs', hash('a'), forbidden, 1000);
    const { error, answer } = await cache.look(kinds, hash('a'));
    assert.deepEqual([error, answer], [forbidden, undefined]);
    await cache.share(kinds, []);
  });

  test(`${name}: the last error wins, with its own time`, async () => {
    const { cache, advance } = await create();
    await cache.set('agent_info_errs', hash('a'), forbidden, 1000);
    await cache.set('agent_info_errs', hash('a'), unauthorized, 5000);
    await advance(4000);
    assert.deepEqual(await cache.get('agent_info_errs', hash('a')), unauthorized);
  });
}

function hash(credential: string): Buffer {
  return createHash('sha256').update(credential).digest();
}
