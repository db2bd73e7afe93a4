import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createContextValues } from '@connectrpc/connect';
import { onConnectionAge, untilAged } from './connection.ts';

test('messages end when the connection has aged, though the client sends on', async () => {
  const listeners = new Set<() => void>();
  const values = createContextValues().set(onConnectionAge, (f) => {
    listeners.add(f);
    return () => listeners.delete(f);
  });
  async function* endless() {
    yield 1;
    yield 2;
    await new Promise(() => {});
  }
  const heard: number[] = [];
  for await (const message of untilAged(endless(), values)) {
    heard.push(message);
    if (message === 2) for (const f of listeners) f();
  }
  assert.deepEqual(heard, [1, 2]);
  assert.equal(listeners.size, 0);
});

test('messages that end by themselves are all heard', async () => {
  async function* three() {
    yield* [1, 2, 3];
  }
  const heard: number[] = [];
  for await (const message of untilAged(three(), createContextValues())) heard.push(message);
  assert.deepEqual(heard, [1, 2, 3]);
});
