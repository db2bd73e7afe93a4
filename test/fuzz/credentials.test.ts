// What people and machines show to be let in, and the rest of a request's head on 8154.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { errors, jwtVerify } from 'jose';
import { bearerToken } from '../../src/auth/bearer_token.ts';
import { verifyJwt } from '../../src/auth/jwt.ts';
import { Secret } from '../../src/config/secret.ts';
import { isToken } from '../../src/http_over_grpc/header_name.ts';
import { parseCredentials } from '../../src/modules/kubernetes_api/credentials.ts';
import { readIncomingHead } from '../../src/modules/kubernetes_api/incoming_head.ts';
import { negotiate } from '../../src/modules/kubernetes_api/media_type.ts';
import { parseRequestTarget } from '../../src/modules/kubernetes_api/request_target.ts';
import { ResponseHeaderFilter } from '../../src/modules/kubernetes_api/response_headers.ts';
import {
  type SignedDecision,
  takeWebSocketToken,
  WebSocketTokens,
} from '../../src/modules/kubernetes_api/websocket_token.ts';
import { AppError } from '../../src/runtime/app_error.ts';
import { FakeClock } from '../../src/runtime/fake_clock.ts';
import { silentLog } from '../support/silent_log.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, damaged, damages, latin1 } from './lib/inputs.ts';

const TOKEN = 'the-token-that-nobody-may-see';

fuzz(
  'a bearer token is found or refused without being shown',
  fc.tuple(latin1(12), fc.oneof(fc.constant(TOKEN), latin1())),
  ([scheme, token]) => {
    for (const value of [`${scheme} ${token}`, scheme + token, `Bearer ${token}`]) {
      try {
        assert.ok(value.endsWith(bearerToken(value)));
      } catch (error) {
        assert.ok(error instanceof AppError);
        assert.ok(!error.message.includes(TOKEN));
      }
    }
  },
);

const headerName = fc.constantFrom(
  'Authorization',
  'AUTHORIZATION',
  'Cookie',
  'Gitlab-Agent-Id',
  'X-Csrf-Token',
  'Origin',
  'Accept',
  'Connection',
  'Upgrade',
  'Transfer-Encoding',
  'Content-Length',
  'Sec-WebSocket-Protocol',
  'Impersonate-User',
  'X-A',
);
const headerValue = fc.oneof(
  fc.constantFrom(
    `Bearer pat:1:${TOKEN}`,
    `Bearer ci:1:${TOKEN}`,
    `Bearer ci:99999999999999999999:${TOKEN}`,
    `_gitlab_kas=${TOKEN}`,
    `_gitlab_kas="${TOKEN}"; _gitlab_kas=%zz`,
    'Authorization, X-A, Impersonate-User',
    `websocket-token.kas.gitlab.com.${TOKEN}, v4.channel.k8s.io`,
    '1',
    'upgrade',
    'application/json;q=0.5, */*',
  ),
  latin1(),
);

fuzz(
  'the head of a request is read, and no credential goes on to the cluster',
  fc.tuple(fc.array(fc.tuple(fc.oneof(headerName, latin1(12)), headerValue), { maxLength: 8 }), latin1()),
  ([lines, url]) => {
    const head = readIncomingHead(lines.flat(), '1.1 gitlab-kas');
    const credentials = parseCredentials(head, parseRequestTarget(`/x?${url}`)?.query ?? []);
    if (credentials.kind === 'bad') assert.ok(!credentials.logError.includes(TOKEN), credentials.logError);
    else assert.ok(credentials.agentId <= 0x7fffffffffffffffn && credentials.agentId >= -0x8000000000000000n);
    takeWebSocketToken(head);
    negotiate(head.accept);
    const known = /^(authorization|cookie|gitlab-agent-id|x-csrf-token|sec-websocket-protocol)$/i;
    for (const [name, values] of head.forwarded) {
      assert.ok(isToken(name), name);
      assert.doesNotMatch(name, /^(Authorization|Cookie|Gitlab-Agent-Id|X-Csrf-Token|Transfer-Encoding)$/);
      for (const value of values) assert.ok(!value.includes('websocket-token.kas') || !known.test(name), value);
    }
  },
);

fuzz(
  'a request target is decoded or refused',
  fc.oneof(
    latin1(),
    latin1().map((text) => `/${text}`),
  ),
  (url) => {
    const target = parseRequestTarget(url);
    if (target === undefined) return;
    // Strings that a protobuf message can carry.
    for (const text of [target.path, ...target.query.flatMap(([name, values]) => [name, ...values])])
      assert.equal(Buffer.from(text).toString(), text);
    if (/^\/[^%?\x7f-\xff]*$/.test(url)) assert.equal(target.path, url);
  },
);

const filter = new ResponseHeaderFilter({ via: '1.1 x', extraAllowed: ['X-More', 'Set-Cookie'], log: silentLog });
const answerName = fc.oneof(
  fc.constantFrom('content-type', 'Content-Type', 'Set-Cookie', 'Content-Length', 'Connection', 'Upgrade', 'X-More'),
  fc.constantFrom('Location', 'X-Accel-Redirect', 'Access-Control-Allow-Origin', '__proto__', 'Transfer-Encoding'),
  fc.string({ maxLength: 10 }),
);
const answerValue = fc.oneof(
  fc.constantFrom(
    'text/html',
    'application/json',
    'application/json, text/html',
    '5',
    'content-type, x-more',
    'upgrade',
  ),
  fc.string({ unit: 'binary', maxLength: 30 }),
);

fuzz(
  'no header of a cluster ends a line, sets a cookie, or makes a browser render',
  fc.record({
    status: fc.constantFrom(101, 200, 204, 426, 500),
    header: fc.array(fc.tuple(answerName, fc.array(answerValue, { maxLength: 3 })), { maxLength: 6 }),
    viaCookie: fc.boolean(),
  }),
  ({ status, header, viaCookie }) => {
    const { headers } = filter.apply(status, header, { allowedOrigin: undefined, viaCookie });
    for (let i = 0; i < headers.length; i += 2) {
      const [name = '', value = ''] = headers.slice(i);
      assert.ok(isToken(name), name);
      assert.match(value, /^[\t -~\x80-\xff]*$/, name);
      assert.doesNotMatch(name, /^(set-cookie|x-accel-|access-control-|transfer-encoding)/i);
      if (/^connection$/i.test(name)) assert.equal(value, 'upgrade');
      if (viaCookie && name.toLowerCase() === 'content-type')
        assert.match(value, /^\s*(application\/(json|yaml|vnd\.kubernetes\.protobuf)|text\/plain)\s*(;[^,]*)?$/i);
    }
  },
);

const key = Buffer.alloc(32, 'k');
const claim = fc.oneof(
  fc.constantFrom<unknown>('gitlab-kas', 'gitlab.example', null, true, '', 0, 999, 1000, 1001, 1e300, -1),
  fc.constantFrom<unknown>(['gitlab-kas'], ['x', 'gitlab-kas'], [], {}),
);
const claims = fc.dictionary(fc.constantFrom('aud', 'iss', 'exp', 'nbf', 'x'), claim);
const alg = fc.constantFrom('HS256', 'HS384', 'HS512', 'none', 'RS256', 'hs256', '');
const required = { secret: new Secret(key), audience: 'gitlab-kas', issuer: 'gitlab.example' };
const NOW_MS = 1_000_000;

function signed(header: unknown, payload: unknown, by = key): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode(header)}.${encode(payload)}`;
  const hash = { HS384: 'sha384', HS512: 'sha512' }[String((header as { alg: unknown }).alg)] ?? 'sha256';
  return `${text}.${createHmac(hash, by).update(text).digest('base64url')}`;
}

function withoutNullTimes(payload: object): object {
  return Object.fromEntries(
    Object.entries(payload).filter(([name, value]) => value !== null || (name !== 'exp' && name !== 'nbf')),
  );
}

fuzz(
  'a JWT counts when a library says so',
  fc.tuple(alg, claims, fc.boolean(), damages(2)),
  async ([name, payload, ours, damage]) => {
    const whole = signed({ typ: 'JWT', alg: name }, payload, ours ? key : Buffer.alloc(32));
    const token = damaged(Buffer.from(whole), damage).toString('latin1');
    let counts = true;
    try {
      verifyJwt(token, required, NOW_MS);
    } catch (error) {
      assert.ok(error instanceof AppError);
      assert.equal(error.message, 'JWT validation failed');
      assert.ok(!String((error.cause as Error).message).includes(token.slice(-20)) || token.length < 21);
      counts = false;
    }
    // Upstream's library takes a time that is null for none; this one refuses it.
    const forLibrary =
      damage.length > 0
        ? token
        : signed({ typ: 'JWT', alg: name }, withoutNullTimes(payload), ours ? key : Buffer.alloc(32));
    const library = await jwtVerify(forLibrary, key, {
      algorithms: ['HS256', 'HS384', 'HS512'],
      audience: required.audience,
      issuer: required.issuer,
      currentDate: new Date(NOW_MS),
    }).then(
      () => true,
      (error: unknown) => {
        // Keys of 32 bytes are short for HS384 and HS512, says the library, and takes them; other errors are answers.
        assert.ok(error instanceof errors.JOSEError || error instanceof TypeError, String(error));
        return false;
      },
    );
    // Decoding base64 is not as strict here: what was signed is signed, whatever stands behind it.
    if (damage.length === 0) assert.equal(counts, library, `${name} ${JSON.stringify(payload)}`);
    else if (counts)
      assert.ok(ours && token.split('.').slice(0, 2).join('.') === whole.split('.').slice(0, 2).join('.'));
  },
);

fuzz('any text is no JWT', latin1(), (text) => {
  assert.throws(() => verifyJwt(text, required, NOW_MS), AppError);
});

fuzz(
  'a WebSocket token is worth what it was issued for, and nothing when it is damaged',
  fc.tuple(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), bytes(200), fc.string(), damages(2), fc.boolean()),
  ([agentId, extra, path, damage, viaCookie]) => {
    const tokens = new WebSocketTokens(required.secret, new FakeClock());
    const decision: SignedDecision = {
      kind: 'allowed',
      agentId,
      extra,
      viaCookie,
      accessForm: 'user_access',
      userId: 1n,
      projectId: undefined,
      load: { user: 1n },
    };
    const token = tokens.issue(decision, path);
    assert.deepEqual(tokens.redeem(token, path), decision);
    assert.equal(tokens.redeem(token, `${path}/`), 'invalid');
    const other = damaged(Buffer.from(token), damage).toString('latin1');
    const redeemed = tokens.redeem(other, path);
    if (redeemed !== 'invalid') assert.deepEqual([redeemed, other.split('.')[0]], [decision, token.split('.')[0]]);
  },
);
