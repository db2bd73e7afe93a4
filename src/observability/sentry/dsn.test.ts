import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getEnvelopeEndpointWithUrlEncodedAuth } from '@sentry/core';
import { parseDsn } from './dsn.ts';

test('a DSN leads to the endpoint of its project', () => {
  const endpointOf = (text: string) => {
    const dsn = parseDsn(text);
    return dsn && getEnvelopeEndpointWithUrlEncodedAuth(dsn).split('?')[0];
  };
  assert.equal(endpointOf('https://key@sentry.example/42'), 'https://sentry.example/api/42/envelope/');
  assert.equal(endpointOf('http://key@sentry.example:9000/a/b/42/'), 'http://sentry.example:9000/a/b/api/42/envelope/');
  for (const text of [
    '',
    'nonsense',
    'ftp://key@host/1',
    'https://host/1',
    'https://key@host/',
    'https://key@host',
    'https://%zz@host/1',
  ]) {
    assert.equal(endpointOf(text), undefined, text);
  }
});
