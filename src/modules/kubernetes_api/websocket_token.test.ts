import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../../config/secret.ts';
import { isToken } from '../../http_over_grpc/header_name.ts';
import { FakeClock } from '../../runtime/fake_clock.ts';
import { readIncomingHead } from './incoming_head.ts';
import { type SignedDecision, takeWebSocketToken, WebSocketTokens } from './websocket_token.ts';

const decision: SignedDecision = {
  kind: 'allowed',
  agentId: 9223372036854775807n,
  extra: Buffer.from([0, 1, 2, 255]),
  viaCookie: true,
  accessForm: 'user_access',
  userId: 22n,
  projectId: 1007n,
  load: { user: 22n },
};

function tokens(clock = new FakeClock(), key = 'k'.repeat(72)): WebSocketTokens {
  return new WebSocketTokens(new Secret(Buffer.from(key)), clock);
}

test('a token carries the decision for its path', () => {
  const token = tokens().issue(decision, '/exec');
  assert.ok(isToken(token), 'fit for a subprotocol');
  assert.deepEqual(tokens().redeem(token, '/exec'), decision);
  const plain: SignedDecision = {
    ...decision,
    extra: undefined,
    userId: undefined,
    projectId: undefined,
    viaCookie: false,
    load: { user: 'alice' },
  };
  assert.deepEqual(tokens().redeem(tokens().issue(plain, '/'), '/'), plain);
});

test('not for another path, not with another secret, not later', () => {
  const clock = new FakeClock();
  const token = tokens(clock).issue(decision, '/exec');
  assert.equal(tokens(clock).redeem(token, '/exec2'), 'invalid');
  assert.equal(tokens(clock, 'j'.repeat(72)).redeem(token, '/exec'), 'invalid');
  clock.advance(19_999);
  assert.deepEqual(tokens(clock).redeem(token, '/exec'), decision);
  clock.advance(1);
  assert.equal(tokens(clock).redeem(token, '/exec'), 'expired');
});

test('a changed token is worth nothing', () => {
  const token = tokens().issue(decision, '/exec');
  const dot = token.indexOf('.');
  const other = tokens().issue({ ...decision, agentId: 1n }, '/exec');
  const forged = [
    '',
    '.',
    token.slice(0, dot),
    `${token.slice(0, dot)}.`,
    `.${token.slice(dot + 1)}`,
    `${other.slice(0, other.indexOf('.'))}${token.slice(dot)}`,
    `${token.slice(0, -2)}`,
    `x${token}`,
    'e30.e30',
  ];
  for (const bad of forged) assert.equal(tokens().redeem(bad, '/exec'), 'invalid', bad);
  for (let i = 0; i < dot; i++) {
    const changed = `${token.slice(0, i)}${token[i] === 'A' ? 'B' : 'A'}${token.slice(i + 1)}`;
    assert.equal(tokens().redeem(changed, '/exec'), 'invalid');
  }
});

test('an identity of five hundred groups still fits into a header line', () => {
  const groups = Array.from({ length: 500 }, (_, i) => `gitlab:project_role:${1000 + i}:developer`);
  const token = tokens().issue({ ...decision, extra: Buffer.from(groups.join('\n')) }, '/exec');
  assert.ok(token.length < 8000, String(token.length));
});

function take(...lines: string[]): { token: string | undefined; left: string[] | undefined } {
  const raw = lines.flatMap((line) => ['sec-websocket-protocol', line]);
  const head = readIncomingHead(['X-A', '1', ...raw], 'v');
  const token = takeWebSocketToken(head);
  return { token, left: head.forwarded.find(([name]) => name === 'Sec-Websocket-Protocol')?.[1] };
}

test('tokens are cut out of the subprotocols', () => {
  const p = 'websocket-token.kas.gitlab.com.';
  assert.deepEqual(take(), { token: undefined, left: undefined });
  assert.deepEqual(take('v5.channel.k8s.io'), { token: undefined, left: ['v5.channel.k8s.io'] });
  assert.deepEqual(take(`v5.channel.k8s.io, ${p}abc`), { token: 'abc', left: ['v5.channel.k8s.io'] });
  assert.deepEqual(take(`${p}abc,v4.channel.k8s.io , v5.channel.k8s.io`), {
    token: 'abc',
    left: ['v4.channel.k8s.io, v5.channel.k8s.io'],
  });
  assert.deepEqual(take(`${p}abc`), { token: 'abc', left: undefined });
  assert.deepEqual(take('a', `${p}1,b,${p}2`, `${p}3`), { token: '1', left: ['a', 'b'] });
  assert.deepEqual(take(p), { token: '', left: undefined });
});
