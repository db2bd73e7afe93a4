import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectFailure, connectFailureText } from './connect_failure.ts';

const failure = (code: string, more: object = {}) => Object.assign(new Error(code), { code, ...more });

test('codes of Node’s and OpenSSL’s are told apart by what can be done about them', () => {
  assert.equal(connectFailure(failure('ECONNREFUSED')), 'unreachable');
  assert.equal(connectFailure(failure('SELF_SIGNED_CERT_IN_CHAIN')), 'untrusted');
  assert.equal(connectFailure(failure('ERR_TLS_CERT_ALTNAME_INVALID')), 'other name');
  assert.equal(connectFailure(failure('ERR_SSL_WRONG_VERSION_NUMBER')), 'not tls');
  for (const other of [failure('ECONNRESET'), 'text', undefined]) assert.equal(connectFailure(other), undefined);
});

test('texts are one line, without what is meant for others', () => {
  assert.equal(connectFailureText('odd'), 'odd');
  assert.equal(
    connectFailureText(failure('ERR_SSL_X', { reason: 'wrong version number' })),
    'TLS handshake failed: wrong version number',
  );
  assert.equal(connectFailureText(new Error('a\n  b\n')), 'a b');
  assert.equal(connectFailureText(new AggregateError([new Error('a'), new Error('b')])), 'a, b');
});
