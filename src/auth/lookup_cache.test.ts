import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../test/support/recording_log.ts';
import { GitLabError } from '../gitlab/gitlab_error.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import type { ErrorCache } from '../store/error_cache.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { LookupCache } from './lookup_cache.ts';
import { tokenKey } from './token_hash.ts';

const never = new AbortController().signal;

interface Asked {
  readonly signal: AbortSignal;
  readonly answer: (value: string) => void;
  readonly fail: (error: Error) => void;
}

function setUp(options: { ttlMs?: number; errors?: ErrorCache } = {}) {
  const clock = new FakeClock();
  const errors = options.errors ?? createMemoryStore({ clock }).errorCache;
  const { log, lines } = recordingLog();
  const asked: Asked[] = [];
  const times = { ttlMs: options.ttlMs ?? 60_000, errorTtlMs: 10_000 };
  const cache = new LookupCache<string>({ errorKind: 'agent_info_errs', ...times }, { clock, errors, log });
  const get = (key: string, signal = never) =>
    cache.get(
      {
        key,
        ask: (asking) => new Promise((answer, fail) => asked.push({ signal: asking, answer, fail })),
      },
      signal,
    );
  /** Lets the store answer, which takes a few turns. */
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { clock, cache, asked, get, settle, lines };
}

test('an answer is remembered until its time is over', async () => {
  const { clock, cache, asked, get, settle } = setUp();
  const first = get('a');
  await settle();
  asked[0]?.answer('yes');
  assert.equal(await first, 'yes');
  clock.advance(59_999);
  assert.equal(cache.peek('a'), 'yes');
  assert.equal(await get('a'), 'yes');
  clock.advance(1);
  assert.equal(cache.peek('a'), undefined);
  const second = get('a');
  await settle();
  asked[1]?.answer('still');
  assert.equal(await second, 'still');
});

test('however many ask, GitLab is asked once, and once per key', async () => {
  const { asked, get, settle } = setUp();
  const waiting = [get('a'), get('a'), get('b')];
  await settle();
  assert.equal(asked.length, 2);
  asked[0]?.answer('1');
  asked[1]?.answer('2');
  assert.deepEqual(await Promise.all(waiting), ['1', '1', '2']);
});

for (const status of [401, 403, 404]) {
  test(`a refusal with ${status} is remembered, with all it says`, async () => {
    const { clock, asked, get, settle } = setUp();
    const first = get('a');
    await settle();
    asked[0]?.fail(new GitLabError(status, '/path', 'why'));
    const refusal = { name: 'GitLabError', status, path: '/path', reason: 'why' };
    await assert.rejects(first, refusal);
    clock.advance(9_999);
    await assert.rejects(get('a'), refusal);
    assert.equal(asked.length, 1);
    clock.advance(1);
    const again = get('a');
    await settle();
    assert.equal(asked.length, 2);
    asked[1]?.answer('yes');
    assert.equal(await again, 'yes');
  });
}

test('tokens that share their first half do not share a refusal', async () => {
  const { asked, get, settle } = setUp();
  const first = get('same-half-1');
  await settle();
  asked[0]?.fail(new GitLabError(403, '/path'));
  await assert.rejects(first);
  const second = get('same-half-2');
  await settle();
  asked[1]?.answer('yes');
  assert.equal(await second, 'yes');
});

for (const error of [new GitLabError(500, '/path'), new Error('no connection')]) {
  test(`not remembered: ${error.message}`, async () => {
    const { asked, get, settle } = setUp();
    const first = get('a');
    await settle();
    asked[0]?.fail(error);
    await assert.rejects(first, error);
    const second = get('a');
    await settle();
    asked[1]?.answer('yes');
    assert.equal(await second, 'yes');
  });
}

test('who leaves stops waiting, and the others get their answer', async () => {
  const { asked, get, settle } = setUp();
  const leaver = new AbortController();
  const left = get('a', leaver.signal);
  const stayed = get('a');
  await settle();
  leaver.abort(new Error('gone'));
  await assert.rejects(left, { message: 'gone' });
  assert.equal(asked[0]?.signal.aborted, false);
  asked[0]?.answer('yes');
  assert.equal(await stayed, 'yes');
});

test('when all have left the question is given up, and the next caller asks anew', async () => {
  const { asked, get, settle } = setUp();
  const leaver = new AbortController();
  const left = get('a', leaver.signal);
  await settle();
  leaver.abort(new Error('gone'));
  await assert.rejects(left, { message: 'gone' });
  assert.equal(asked[0]?.signal.aborted, true);
  const next = get('a');
  await settle();
  asked[0]?.fail(new Error('aborted'));
  asked[1]?.answer('yes');
  assert.equal(await next, 'yes');
});

test('who has left already asks nothing', async () => {
  const { asked, get, settle } = setUp();
  await assert.rejects(get('a', AbortSignal.abort(new Error('gone'))), { message: 'gone' });
  await settle();
  assert.equal(asked.length, 0);
});

test('with ttl 0 nothing is remembered, refusals neither', async () => {
  const { cache, asked, get } = setUp({ ttlMs: 0 });
  const refused = get('a');
  asked[0]?.fail(new GitLabError(403, '/path'));
  await assert.rejects(refused);
  const both = [get('a'), get('a')];
  asked[1]?.answer('1');
  asked[2]?.answer('2');
  assert.deepEqual(await Promise.all(both), ['1', '2']);
  assert.equal(cache.peek('a'), undefined);
});

test('a store in trouble is reported and done without', async () => {
  const broken: ErrorCache = {
    get: () => Promise.reject(new Error('store down')),
    set: () => Promise.reject(new Error('store down')),
  };
  const { asked, get, settle, lines } = setUp({ errors: broken });
  const refused = get('a');
  await settle();
  asked[0]?.fail(new GitLabError(403, '/path'));
  await assert.rejects(refused, { status: 403 });
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields?.error]),
    [
      ['error', 'Failed to get cached error from Redis', 'store down'],
      ['error', 'Failed to cache error in Redis', 'store down'],
    ],
  );
});

test('no table has the credential for a key, neither while GitLab is asked nor with its answer', async (t) => {
  const keys: unknown[] = [];
  const set = Map.prototype.set;
  t.mock.method(Map.prototype, 'set', function (this: Map<unknown, unknown>, key: unknown, value: unknown) {
    keys.push(key);
    return set.call(this, key, value);
  });
  const { cache, asked, get, settle } = setUp();
  const answer = get('a-token');
  await settle();
  asked[0]?.answer('yes');
  await answer;
  t.mock.restoreAll();
  assert.equal(cache.peek('a-token'), 'yes');
  const hashed = keys.filter((key) => key === tokenKey('a-token'));
  assert.equal(hashed.length, 2, 'one for the question, one for the answer');
  assert.ok(!keys.some((key) => typeof key === 'string' && key.includes('a-token')));
});
