import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../config/config.ts';
import { expectListeners, Readiness } from './readiness.ts';

test('what is degraded is named, and nothing is missing for it', () => {
  const readiness = new Readiness();
  assert.deepEqual(readiness.degraded, []);
  readiness.degrade('redis', 'connect ECONNREFUSED');
  assert.deepEqual(readiness.degraded, ['redis: degraded: connect ECONNREFUSED']);
  assert.deepEqual(readiness.missing, []);
  readiness.degrade('redis', undefined);
  assert.deepEqual(readiness.degraded, []);
});

test('what is missing is named until it is there', () => {
  const readiness = new Readiness();
  assert.deepEqual(readiness.missing, []);
  readiness.set('server', 'starting');
  readiness.set('store', 'unreachable');
  assert.deepEqual(readiness.missing, ['server: starting', 'store: unreachable']);
  readiness.set('server', undefined);
  readiness.set('store', 'slow');
  assert.deepEqual(readiness.missing, ['store: slow']);
  assert.equal(readiness.started, false);
  readiness.set('store', undefined);
  readiness.set('store', 'away');
  assert.equal(readiness.started, true);
});

test('listeners that the configuration names are waited for', () => {
  const readiness = new Readiness();
  expectListeners(readiness, { agent: {}, api: {}, privateApi: undefined } as unknown as Config);
  assert.deepEqual(readiness.missing, ['agentServer: not ready yet', 'apiServer: not ready yet']);
});
