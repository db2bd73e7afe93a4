import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transportError } from './transport_error.ts';

function failure(code: string, message = code): Error {
  return Object.assign(new Error(message), { code });
}

const hints: [string, RegExp][] = [
  ['ECONNREFUSED', /gitlab\.address/],
  ['ENOTFOUND', /gitlab\.address/],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /gitlab\.ca_certificate_file.*SSL_CERT_DIR/],
  ['SELF_SIGNED_CERT_IN_CHAIN', /gitlab\.ca_certificate_file.*SSL_CERT_DIR/],
  ['ERR_TLS_CERT_ALTNAME_INVALID', /gitlab\.address.*certificate/],
  ['EPROTO', /scheme/],
];
for (const [code, hint] of hints) {
  test(`${code} has a hint`, () => assert.match(transportError('GET http://h/p', failure(code)).hint ?? '', hint));
}

test('anything else has none', () => {
  assert.equal(transportError('GET http://h/p', failure('ECONNRESET')).hint, undefined);
  assert.equal(transportError('GET http://h/p', 'odd').message, 'GET http://h/p: odd');
});

test('only certificates that will not get better are final', () => {
  assert.equal(transportError('', failure('ECONNRESET')).retryable, true);
  assert.equal(transportError('', failure('CERT_HAS_EXPIRED')).retryable, false);
  assert.equal(transportError('', failure('DEPTH_ZERO_SELF_SIGNED_CERT')).retryable, false);
});

test('a name with several addresses fails with what each of them said', () => {
  const errors = [
    failure('ECONNREFUSED', 'connect ECONNREFUSED ::1:80'),
    failure('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:80'),
  ];
  const all = Object.assign(new AggregateError(errors), { code: 'ECONNREFUSED' });
  const error = transportError('GET http://localhost/p', all);
  assert.equal(error.message, 'GET http://localhost/p: connect ECONNREFUSED ::1:80, connect ECONNREFUSED 127.0.0.1:80');
  assert.match(error.hint ?? '', /gitlab\.address/);
});

test('of an error of OpenSSL’s the reason is told', () => {
  const cause = Object.assign(
    new Error('40C30A44:error:0A00010B:SSL routines:tls_validate:wrong version number:tls.c:78:'),
    {
      code: 'ERR_SSL_WRONG_VERSION_NUMBER',
      reason: 'wrong version number',
    },
  );
  const { message, hint = '' } = transportError('GET https://h/p', cause);
  assert.equal(message, 'GET https://h/p: TLS handshake failed: wrong version number');
  assert.match(hint, /scheme/);
});

test('what a refused certificate says stands behind', () => {
  const cause = failure(
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'self-signed certificate; if the root CA is installed locally, try running Node.js with --use-system-ca',
  );
  assert.equal(
    transportError('GET https://h/p', cause, 'it shows CN=h').message,
    'GET https://h/p: self-signed certificate; it shows CN=h',
  );
});

test('texts of several lines become one', () => {
  assert.equal(
    transportError('GET x', new Error('write EPROTO\nwrong version number \n')).message,
    'GET x: write EPROTO wrong version number',
  );
});
