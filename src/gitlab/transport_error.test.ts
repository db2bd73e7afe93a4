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

test('texts of several lines become one', () => {
  assert.equal(
    transportError('GET x', new Error('write EPROTO\nwrong version number \n')).message,
    'GET x: write EPROTO wrong version number',
  );
});
