import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserLoads } from './user_load.ts';

test('a user has one load, whoever asks; another user, and one without a name, has another one', () => {
  const loads = new UserLoads();
  const alice = loads.of(1n);
  const nobody = loads.of(undefined);
  alice.requests++;
  nobody.requests++;
  assert.equal(loads.of(1n).requests, 1);
  assert.deepEqual([loads.of(2n).requests, loads.of('1').requests, loads.of(undefined).requests], [0, 0, 0]);
});
