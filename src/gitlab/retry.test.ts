import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonResponse } from '../../test/support/gitlab/fake_transport.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { withRetries } from './retry.ts';
import type { HttpResponse } from './transport.ts';
import { TransportError } from './transport_error.ts';

const random = { fraction: () => 0, bytes: (n: number) => Buffer.alloc(n) };
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Plays `outcomes` one after the other; the last one again and again. */
function setUp(outcomes: (HttpResponse | Error)[], signal = new AbortController().signal) {
  const clock = new FakeClock();
  const atMs: number[] = [];
  const attempt = () => {
    atMs.push(clock.monotonicMs());
    const outcome = outcomes.length > 1 ? outcomes.shift() : outcomes[0];
    return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome as HttpResponse);
  };
  const result = withRetries(attempt, signal, { clock, random });
  result.catch(() => {});
  const wait = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 50) {
      await settle();
      clock.advance(50);
    }
    await settle();
  };
  return { result, atMs, wait, clock };
}

const refusedConnection = new TransportError('connect ECONNREFUSED', { retryable: true });

for (const trouble of [jsonResponse(500), jsonResponse(503), jsonResponse(429), refusedConnection]) {
  const name = trouble instanceof Error ? trouble.message : trouble.status;
  test(`tried five times with growing pauses: ${name}`, async () => {
    const { result, atMs, wait } = setUp([trouble]);
    await wait(5000);
    assert.deepEqual(atMs, [0, 100, 300, 700, 1500]);
    if (trouble instanceof Error) await assert.rejects(result, trouble);
    else assert.equal((await result).status, trouble.status);
  });
}

const final = [
  ...[200, 302, 400, 401, 404, 501].map((status) => jsonResponse(status)),
  new TransportError('self-signed certificate', { retryable: false }),
  new Error('a defect'),
];
for (const outcome of final) {
  test(`not tried again: ${outcome instanceof Error ? outcome.message : outcome.status}`, async () => {
    const { result, atMs, wait } = setUp([outcome]);
    await wait(1000);
    assert.equal(atMs.length, 1);
    if (outcome instanceof Error) await assert.rejects(result, outcome);
    else assert.equal(await result, outcome);
  });
}

test('Retry-After of 429 and 503 is kept to', async () => {
  const { result, atMs, wait } = setUp([
    jsonResponse(429, {}, { 'retry-after': '2' }),
    jsonResponse(503, {}, { 'retry-after': 'Fri, 31 Dec 1999 23:59:59 GMT' }),
    jsonResponse(500, {}, { 'retry-after': '9' }),
    jsonResponse(200),
  ]);
  await wait(5000);
  assert.deepEqual(atMs, [0, 2000, 2200, 2600]);
  assert.equal((await result).status, 200);
});

test('a GitLab that wants a long rest gets it', async () => {
  const { result, atMs } = setUp([jsonResponse(503, {}, { 'retry-after': '31' })]);
  assert.equal((await result).status, 503);
  assert.equal(atMs.length, 1);
});

test('who leaves waits no longer', async () => {
  const controller = new AbortController();
  const { result, atMs, clock } = setUp([refusedConnection], controller.signal);
  await settle();
  controller.abort(new Error('gone'));
  await assert.rejects(result, { message: 'gone' });
  assert.equal(clock.pendingTimers, 0);
  assert.equal(atMs.length, 1);
});
