import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenHash, tokenKey } from './token_hash.ts';

test('SHA-256 of the whole token', () => {
  // printf abc | sha256sum
  const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  assert.equal(tokenHash('abc').toString('hex'), expected);
  assert.ok(Buffer.isBuffer(tokenHash('abc')));
});

test('what is remembered under a token’s name is under the same hash', () => {
  assert.equal(tokenKey('abc'), tokenHash('abc').toString('base64'));
});
