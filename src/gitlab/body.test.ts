import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FakeClock } from '../runtime/fake_clock.ts';
import { discardBody, readBody } from './body.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

function setUp(headers: Record<string, string> = {}) {
  const clock = new FakeClock();
  const body = new PassThrough();
  return { clock, body, read: (max = 100) => readBody({ status: 200, headers, body }, max, clock) };
}

test('a body that keeps coming is read however long it takes', async () => {
  const { clock, body, read } = setUp();
  const whole = read();
  for (const piece of ['a', 'b', 'c']) {
    clock.advance(29_999);
    body.write(piece);
    await settle();
  }
  body.end();
  assert.equal((await whole).toString(), 'abc');
  assert.equal(clock.pendingTimers, 0);
});

test('a body that stalls is given up', async () => {
  const { clock, body, read } = setUp();
  const whole = read();
  body.write('a');
  await settle();
  clock.advance(30_000);
  await assert.rejects(whole, { message: 'the response stalled' });
  assert.ok(body.destroyed);
});

test('a body may be as large as the limit and not larger', async () => {
  const fits = setUp();
  fits.body.end('x'.repeat(100));
  assert.equal((await fits.read()).length, 100);
  const tooLarge = setUp();
  tooLarge.body.end('x'.repeat(101));
  await assert.rejects(tooLarge.read(), { message: 'the response is larger than 100 bytes' });
});

test('what gzip hides counts against the limit too', async () => {
  const { body, read } = setUp({ 'content-encoding': 'gzip' });
  body.end(gzipSync('x'.repeat(2000)));
  await assert.rejects(read(), { message: 'the response is larger than 100 bytes' });
});

test('a coding that nobody asked for is refused', async () => {
  const { body, read } = setUp({ 'content-encoding': 'br' });
  body.end('x');
  await assert.rejects(read(), { message: 'unexpected Content-Encoding in response: "br"' });
});

test('a discarded body is read if small, so that its connection lives', async () => {
  const clock = new FakeClock();
  const body = new PassThrough();
  discardBody(body, clock);
  body.end('x'.repeat(8192));
  await new Promise((resolve) => body.once('end', resolve));
  await settle();
  assert.equal(clock.pendingTimers, 0);
});

test('a discarded body that is large or slow is cut off', async () => {
  const clock = new FakeClock();
  const [large, slow] = [new PassThrough(), new PassThrough()];
  discardBody(large, clock);
  discardBody(slow, clock);
  large.write('x'.repeat(8193));
  await settle();
  assert.ok(large.destroyed);
  assert.ok(!slow.destroyed);
  clock.advance(5000);
  assert.ok(slow.destroyed);
});
