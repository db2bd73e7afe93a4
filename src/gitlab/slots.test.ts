import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from './slots.ts';

const never = new AbortController().signal;

test('as many as there are slots, the others in order as they come free', async () => {
  const slots = new Slots(2);
  const through: string[] = [];
  const take = (name: string, signal = never) => slots.take(signal).then(() => through.push(name));
  const leaver = new AbortController();
  const [a, b] = [take('a'), take('b')];
  const left = take('left', leaver.signal);
  const [c, d] = [take('c'), take('d')];
  await Promise.all([a, b]);
  leaver.abort(new Error('gone'));
  await assert.rejects(left, { message: 'gone' });
  assert.deepEqual(through, ['a', 'b']);
  slots.release();
  await c;
  slots.release();
  await d;
  assert.deepEqual(through, ['a', 'b', 'c', 'd']);
  slots.release();
  await take('e');
});

test('who has left already takes none', async () => {
  const slots = new Slots(1);
  await assert.rejects(slots.take(AbortSignal.abort(new Error('gone'))), { message: 'gone' });
  await slots.take(never);
});
