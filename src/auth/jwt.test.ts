import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { Secret } from '../config/secret.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { verifyJwt } from './jwt.ts';

const key = Buffer.alloc(64, 5);
const secret = new Secret(key);
const NOW = 1_700_000_000;
const rails = { secret, audience: 'gitlab-kas' };
const peers = { ...rails, issuer: 'gitlab-kas' };

function sign(claims: JWTPayload, alg = 'HS256', signingKey = key): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, typ: 'JWT' }).sign(signingKey);
}

const good: JWTPayload = { aud: 'gitlab-kas', iss: 'gitlab-kas', iat: NOW, nbf: NOW - 5, exp: NOW + 60 };

for (const alg of ['HS256', 'HS384', 'HS512']) {
  test(`taken: ${alg}`, async () => void verifyJwt(await sign(good, alg), peers, NOW * 1000));
}

const accepted: [string, JWTPayload][] = [
  ['a list of audiences', { ...good, aud: ['x', 'gitlab-kas'] }],
  ['no times', { aud: 'gitlab-kas', iss: 'gitlab-kas' }],
  ['times that are null', { ...good, exp: null, nbf: null } as unknown as JWTPayload],
  ['issued in the future', { ...good, iat: NOW + 100 }],
  ['valid from now on', { ...good, nbf: NOW }],
  ['one more second', { ...good, exp: NOW + 1 }],
];
for (const [what, claims] of accepted) {
  test(`taken: ${what}`, async () => void verifyJwt(await sign(claims), peers, NOW * 1000 + 999));
}

test('taken: any issuer, if none is required', async () => {
  verifyJwt(await sign({ ...good, iss: 'gitlab.example' }), rails, NOW * 1000);
  assert.throws(() => verifyJwt('', peers, NOW * 1000));
});

const refused: [string, () => Promise<string> | string, RegExp][] = [
  ['expired', () => sign({ ...good, exp: NOW }), /expired/],
  ['not yet valid', () => sign({ ...good, nbf: NOW + 1 }), /not valid yet/],
  ['another audience', () => sign({ ...good, aud: 'gitlab' }), /audience/],
  ['no audience', () => sign({ iss: 'gitlab-kas' }), /audience/],
  ['another issuer', () => sign({ ...good, iss: 'gitlab.example' }), /issuer/],
  ['another key', () => sign(good, 'HS256', Buffer.alloc(64, 6)), /signature/],
  ['no signature', () => new UnsecuredJWT(good).encode(), /algorithm/],
  ['a signature cut short', async () => (await sign(good)).slice(0, -4), /signature/],
  ['times of the wrong type', () => sign({ ...good, exp: 'never' as unknown as number }), /expired/],
  ['two parts', () => 'a.b', /three parts/],
  ['four parts', async () => `${await sign(good)}.x`, /three parts/],
  ['garbage', () => '\u0000.é.%', /algorithm/],
];
for (const [what, token, cause] of refused) {
  test(`refused: ${what}`, async () => {
    const jwt = await token();
    assert.throws(
      () => verifyJwt(jwt, peers, NOW * 1000),
      (error: Error) => {
        assert.equal(error.message, 'JWT validation failed');
        assert.equal('code' in error && error.code, StatusCode.Unauthenticated);
        assert.match((error.cause as Error).message, cause);
        return true;
      },
    );
  });
}
