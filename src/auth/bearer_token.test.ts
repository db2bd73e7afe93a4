import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusCode } from '../runtime/status_code.ts';
import { bearerToken } from './bearer_token.ts';

const accepted = [
  ['Bearer abc', 'abc'],
  ['bEARER abc', 'abc'],
  ['Bearer abc def', 'abc def'],
] as const;
for (const [value, token] of accepted) test(`taken: ${value}`, () => assert.equal(bearerToken(value), token));

const refused = [
  ['Basic abc', 'Request unauthenticated with bearer'],
  ['abc', 'Bad authorization string'],
  ['Bearer', 'Bad authorization string'],
  ['', 'Request unauthenticated with bearer'],
  [undefined, 'Request unauthenticated with bearer'],
] as const;
for (const [value, message] of refused) {
  test(`refused: ${JSON.stringify(value)}`, () => {
    assert.throws(() => bearerToken(value), { code: StatusCode.Unauthenticated, message });
  });
}
