import assert from 'node:assert/strict';
import { test } from 'node:test';
import { borrowBuffer, returnBuffer } from './buffer_pool.ts';

const CHUNK = 32 << 10;

test('a buffer that was given back is lent again', () => {
  const first = borrowBuffer(CHUNK);
  returnBuffer(first.subarray(100, 200));
  const second = borrowBuffer(CHUNK - 5);
  assert.equal(second.buffer, first.buffer);
  assert.equal(second.length, CHUNK - 5);
  returnBuffer(second);
});

test('a buffer is lent to one borrower at a time', () => {
  const first = borrowBuffer(CHUNK);
  const second = borrowBuffer(CHUNK);
  assert.notEqual(first.buffer, second.buffer);
  returnBuffer(first);
  returnBuffer(first);
  assert.notEqual(borrowBuffer(CHUNK).buffer, borrowBuffer(CHUNK).buffer);
});

test('what was not borrowed is not taken', () => {
  const own = Buffer.alloc(34 << 10);
  returnBuffer(own);
  assert.notEqual(borrowBuffer(CHUNK).buffer, own.buffer);
});

test('small and very large buffers are none of the pool', () => {
  for (const bytes of [0, 100, (34 << 10) + 1, 1 << 20]) {
    const buffer = borrowBuffer(bytes);
    assert.equal(buffer.length, bytes);
    returnBuffer(buffer);
    assert.notEqual(borrowBuffer(CHUNK).buffer, buffer.buffer);
  }
});
