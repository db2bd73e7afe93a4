import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Readiness } from './readiness.ts';

test('what is missing is named until it is there', () => {
  const readiness = new Readiness();
  assert.deepEqual(readiness.missing, []);
  readiness.set('server', 'starting');
  readiness.set('store', 'unreachable');
  assert.deepEqual(readiness.missing, ['server: starting', 'store: unreachable']);
  readiness.set('server', undefined);
  readiness.set('store', 'slow');
  assert.deepEqual(readiness.missing, ['store: slow']);
});
