import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordingLog } from '../../test/support/recording_log.ts';
import { Secret } from '../config/secret.ts';
import { GitLabError } from '../gitlab/gitlab_error.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { systemRandom as random } from '../runtime/random.ts';
import type { ErrorCache } from '../store/error_cache.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { LookupCache } from './lookup_cache.ts';
import { AnswerSeal } from './sealed_answer.ts';
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
    look: () => Promise.reject(new Error('store down')),
    share: () => Promise.reject(new Error('store down')),
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

test('who was accepted a while ago is not looked for among those that were refused, until he is', async () => {
  let looked = 0;
  const { errorCache } = createMemoryStore({ clock: new FakeClock() });
  const errors: ErrorCache = {
    get(kind, hash) {
      looked++;
      return errorCache.get(kind, hash);
    },
    set: (kind, hash, error, ttlMs) => errorCache.set(kind, hash, error, ttlMs),
    look: (kinds, hash) => errorCache.look(kinds, hash),
    share: () => Promise.resolve(),
  };
  const { clock, asked, get, settle } = setUp({ errors });
  const accepted = get('a');
  await settle();
  asked[0]?.answer('yes');
  await accepted;
  clock.advance(60_000);
  const refused = get('a');
  await settle();
  assert.equal(looked, 1);
  asked[1]?.fail(new GitLabError(401, '/path'));
  await assert.rejects(refused, { status: 401 });
  await assert.rejects(get('a'), { status: 401 });
  assert.deepEqual([looked, asked.length], [2, 2]);
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
  assert.equal(hashed.length, 3, 'one for the question, one for the answer, one for that it was good');
  assert.ok(!keys.some((key) => typeof key === 'string' && key.includes('a-token')));
});

/** Two nodes, and what lies between them: by the hash of the credential. */
function twoNodes(secrets = [1, 1]) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const left = new Map<string, Buffer>();
  const shared: number[] = [];
  const memory = createMemoryStore({ clock }).errorCache;
  const errors: ErrorCache = {
    get: (kind, hash) => memory.get(kind, hash),
    set: (kind, hash, error, ttlMs) => memory.set(kind, hash, error, ttlMs),
    look: async ({ errors: kind }, hash) => ({
      error: await memory.get(kind, hash),
      answer: left.get(hash.toString('hex')),
    }),
    async share(_kinds, answers) {
      shared.push(answers.length);
      for (const { hash, answer } of answers) left.set(hash.toString('hex'), answer);
    },
  };
  const node = (secret: number, ttlMs: number) => {
    const sharing = {
      kind: 'agent_info',
      seal: new AnswerSeal(new Secret(Buffer.alloc(32, secret)), 'agent_info', { clock, random }),
      encode: (answer: string) => Buffer.from(answer),
      decode: (bytes: Buffer) => bytes.toString(),
    };
    return new LookupCache<string>(
      { errorKind: 'agent_info_errs', ttlMs, errorTtlMs: 1000, sharing },
      { clock, errors, log },
    );
  };
  const [a = 0, b = 0] = secrets;
  return { leaving: node(a, 60_000), other: node(b, 30_000), clock, lines, errors, left, shared };
}

const answering = (key: string, answer: string) => ({ key, ask: () => Promise.resolve(answer) });
const notAsked = (key: string) => ({ key, ask: () => Promise.reject(new Error('GitLab is asked')) });

test('what GitLab said to one node another one need not ask for, for as long as both would remember it', async () => {
  const { leaving, other, clock } = twoNodes();
  await leaving.get(answering('a', 'yes'), never);
  await assert.rejects(other.get(notAsked('a'), never), /GitLab is asked/, 'it is shared with others, a second later');
  clock.advance(1000);
  assert.equal(await other.get(notAsked('a'), never), 'yes');
  assert.equal(other.peek('a'), 'yes');
  clock.advance(29_999);
  assert.equal(other.peek('a'), 'yes');
  clock.advance(1);
  assert.equal(other.peek('a'), undefined);
  await assert.rejects(other.get(notAsked('a'), never), /GitLab is asked/);
});

test('an answer holds for as long as the node that had it would have remembered it', async () => {
  const { leaving, other, clock } = twoNodes();
  await leaving.get(answering('a', 'yes'), never);
  clock.advance(50_000);
  assert.equal(await other.get(notAsked('a'), never), 'yes');
  clock.advance(9999);
  assert.equal(other.peek('a'), 'yes');
  clock.advance(1);
  assert.equal(other.peek('a'), undefined);
});

test('answers of one second are shared together, once, and not by who has them from another node', async () => {
  const { leaving, other, clock, shared } = twoNodes();
  for (const key of ['a', 'b']) await leaving.get(answering(key, 'yes'), never);
  clock.advance(1000);
  await other.get(notAsked('a'), never);
  clock.advance(5000);
  assert.deepEqual(shared, [2]);
  await leaving.get(answering('c', 'yes'), never);
  clock.advance(1000);
  assert.deepEqual(shared, [2, 1]);
});

test('a node that leaves shares once more all that holds; a refusal counts more than an answer', async () => {
  const { leaving, other, clock, errors, left } = twoNodes();
  await leaving.get(answering('old', 'yes'), never);
  clock.advance(60_000);
  await leaving.get(answering('new', 'yes'), never);
  clock.advance(1000);
  left.clear();
  assert.equal(await leaving.handOver(), 1);
  await assert.rejects(other.get(notAsked('old'), never), /GitLab is asked/);
  const hash = Buffer.from(tokenKey('new'), 'base64');
  await errors.set('agent_info_errs', hash, { status: 401, path: '', reason: '' }, 1000);
  await assert.rejects(other.get(notAsked('new'), never), { status: 401 });
});

test('what a node with another secret has shared is nothing', async () => {
  const { leaving, other, lines } = twoNodes([1, 2]);
  await leaving.get(answering('a', 'yes'), never);
  await leaving.handOver();
  assert.equal(await other.get(answering('a', 'asked'), never), 'asked');
  assert.deepEqual(lines, []);
});

test('a store in trouble takes nothing over, and the node goes on', async () => {
  const { leaving, errors } = twoNodes();
  await leaving.get(answering('a', 'yes'), never);
  errors.share = () => Promise.reject(new Error('store down'));
  assert.equal(await leaving.handOver(), 0);
});
