import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { Secret } from '../config/secret.ts';
import { RequestTokens } from './request_token.ts';

test('a token as Rails wants it', async () => {
  const key = Buffer.alloc(32, 9);
  const now = 1_700_000_000;
  const token = new RequestTokens(new Secret(key)).at(now * 1000 + 999);
  assert.deepEqual(decodeProtectedHeader(token), { alg: 'HS256', typ: 'JWT' });
  const { payload } = await jwtVerify(token, key, { currentDate: new Date(now * 1000) });
  assert.deepEqual(payload, { iss: 'gitlab-kas', aud: ['gitlab'], iat: now, nbf: now - 5, exp: now + 30 });
});

test('each second has a token of its own', () => {
  const tokens = new RequestTokens(new Secret(Buffer.alloc(32, 9)));
  const first = tokens.at(1_000_000);
  assert.equal(tokens.at(1_000_999), first);
  const second = tokens.at(1_001_000);
  assert.notEqual(second, first);
  assert.equal(tokens.at(1_000_500), first, 'also when the clock is set back');
});
