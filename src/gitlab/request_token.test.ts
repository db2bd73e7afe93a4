import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { Secret } from '../config/secret.ts';
import { requestToken } from './request_token.ts';

test('a token as Rails wants it', async () => {
  const key = Buffer.alloc(32, 9);
  const now = 1_700_000_000;
  const token = requestToken(new Secret(key), now * 1000 + 999);
  assert.deepEqual(decodeProtectedHeader(token), { alg: 'HS256', typ: 'JWT' });
  const { payload } = await jwtVerify(token, key, { currentDate: new Date(now * 1000) });
  assert.deepEqual(payload, { iss: 'gitlab-kas', aud: ['gitlab'], iat: now, nbf: now - 5, exp: now + 30 });
});
