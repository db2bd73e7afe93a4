import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../config/secret.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { signJwt } from '../runtime/sign_jwt.ts';
import { NodeTokens, NodeTokenVerifier } from './node_token.ts';

const secret = new Secret(Buffer.alloc(32, 7));

function setUp() {
  const clock = new FakeClock();
  return { clock, tokens: new NodeTokens(secret, clock), verifier: new NodeTokenVerifier(secret, clock) };
}

test('claims, their order and the header are what nodes of 2023 send', () => {
  const { clock, tokens } = setUp();
  const [header, claims] = tokens
    .next()
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString());
  const now = Math.floor(clock.wallMs() / 1000);
  assert.equal(header, '{"alg":"HS256","typ":"JWT"}');
  assert.equal(claims, `{"iss":"gitlab-kas","aud":["gitlab-kas"],"exp":${now + 5},"nbf":${now - 5},"iat":${now}}`);
});

test('a token serves the calls of one second', () => {
  const { clock, tokens } = setUp();
  const first = tokens.next();
  assert.equal(tokens.next(), first);
  clock.advance(1000);
  assert.notEqual(tokens.next(), first);
});

test('a token is taken until it expires, also when it has been seen before', () => {
  const { clock, tokens, verifier } = setUp();
  const token = tokens.next();
  verifier.verify(token);
  clock.advance(3900);
  verifier.verify(token);
  clock.advance(1100);
  assert.throws(() => verifier.verify(token), { message: 'JWT validation failed' });
});

test('a token of another secret, issuer or audience is refused each time', () => {
  const { clock, verifier } = setUp();
  const now = Math.floor(clock.wallMs() / 1000);
  const good = { iss: 'gitlab-kas', aud: ['gitlab-kas'], exp: now + 5, nbf: now - 5, iat: now };
  const key = secret.reveal();
  const bad = [
    signJwt(Buffer.alloc(32, 8), good),
    signJwt(key, { ...good, iss: 'gitlab.example.com' }),
    signJwt(key, { ...good, iss: undefined }),
    signJwt(key, { ...good, aud: ['gitlab'] }),
  ];
  for (const token of [...bad, ...bad]) {
    assert.throws(() => verifier.verify(token), { message: 'JWT validation failed' });
  }
  verifier.verify(signJwt(key, good));
});
