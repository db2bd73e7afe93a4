import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError } from '../http2/connection_error.ts';
import { dialFailure, failureKind, HUNG_UP } from './dial_failure.ts';
import { UntrustingError } from './node_url.ts';

const failure = (code: string) => Object.assign(new Error(`says ${code}`), { code });

for (const [kind, cause, hint] of [
  ['tcp', failure('ECONNREFUSED'), /^is that node up.*OWN_PRIVATE_API_URL/],
  ['tcp', 'the node does not answer', /^is that node up/],
  ['tcp', new ConnectionError(1, 'SETTINGS come first'), /OWN_PRIVATE_API_SCHEME to grpcs$/],
  ['tcp', HUNG_UP, /OWN_PRIVATE_API_SCHEME to grpcs$/],
  ['tls', new ConnectionError(1, 'SETTINGS come first'), /^is that node up/],
  ['tls', failure('EPROTO'), /OWN_PRIVATE_API_SCHEME to grpc$/],
  ['tls', failure('DEPTH_ZERO_SELF_SIGNED_CERT'), /private_api\.listen\.ca_certificate_file/],
  ['tls', failure('ERR_TLS_CERT_ALTNAME_INVALID'), /OWN_PRIVATE_API_HOST/],
  ['tls', failure('CERT_HAS_EXPIRED'), /renewed/],
] as const) {
  test(`${kind}, ${typeof cause === 'string' ? cause : cause.code}: what to do`, () => {
    const told = dialFailure(kind, cause);
    assert.match(told.hint, hint);
    assert.equal(told.error, typeof cause === 'string' ? cause : cause.message);
  });
}

test('what failures count as', () => {
  const counted = (cause: unknown) => failureKind(cause);
  assert.equal(counted('the node does not answer'), 'no_answer');
  assert.equal(counted(HUNG_UP), 'protocol');
  assert.equal(counted(new ConnectionError(1, 'SETTINGS come first')), 'protocol');
  assert.equal(counted(new UntrustingError('no PEM certificate in it')), 'own_ca');
  assert.equal(counted(failure('ECONNREFUSED')), 'unreachable');
  assert.equal(counted(failure('ENOENT')), 'unreachable');
  assert.equal(counted(failure('ECONNRESET')), 'reset');
  assert.equal(counted(failure('DEPTH_ZERO_SELF_SIGNED_CERT')), 'untrusted');
  assert.equal(counted(failure('CERT_NOT_YET_VALID')), 'not_yet_valid');
  assert.equal(counted(failure('ERR_TLS_CERT_ALTNAME_INVALID')), 'other_name');
  assert.equal(counted(failure('EPROTO')), 'not_tls');
  assert.equal(counted(new Error('something else')), 'other');
});
