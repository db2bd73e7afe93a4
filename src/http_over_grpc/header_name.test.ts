import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalHeaderName, HeaderNameTable, isToken } from './header_name.ts';

test('names become what Go makes of them', () => {
  const names = [
    'Content-Type',
    'X-Csrf-Token',
    'Sec-Websocket-Protocol',
    'Te',
    'Etag',
    'Www-Authenticate',
    'Impersonate-Uid',
    'Impersonate-Extra-Foo%2fbar',
    'X-Kubernetes-Pf-Flowschema-Uid',
    'X_under_score',
    'A--B',
    '-A',
    "!#$%&'*+-.^_`|~",
  ];
  for (const name of names) {
    assert.equal(canonicalHeaderName(name.toLowerCase()), name);
    assert.equal(canonicalHeaderName(name.toUpperCase()), name);
    assert.equal(canonicalHeaderName(name), name);
  }
});

test('names that are no tokens stay as they are', () => {
  for (const name of ['x bad', 'caf\u00e9', 'x:y', ':path', 'a\tb', 'x\u0000', 'impersonate-user ', '']) {
    assert.equal(isToken(name), false);
    assert.equal(canonicalHeaderName(name), name);
  }
});

test('the memory for names is bounded', () => {
  let described = 0;
  const table = new HeaderNameTable((name) => {
    described++;
    return name.length;
  });
  for (let i = 0; i < 5000; i++) table.get(`x-${i}`);
  described = 0;
  for (let i = 0; i < 1000; i++) assert.equal(table.get(`x-${i}`), `x-${i}`.length);
  assert.equal(described, 0);
  table.get('x-4000');
  table.get('x-4000');
  assert.equal(described, 2);
  table.get('y'.repeat(65));
  table.get('y'.repeat(65));
  assert.equal(described, 4);
});
