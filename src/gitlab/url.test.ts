import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maskedUrl, requestTarget } from './url.ts';

const PATH = '/api/v4/job/allowed_agents';
const targets: [string, string, Record<string, string>, string][] = [
  ['https://gitlab.example', PATH, {}, PATH],
  ['https://gitlab.example/', PATH, {}, PATH],
  ['https://gitlab.example/gitlab', PATH, {}, `/gitlab${PATH}`],
  ['https://gitlab.example/gitlab/', PATH, {}, `/gitlab${PATH}`],
  ['https://gitlab.example/a//', 'b', {}, '/a//b'],
  ['https://gitlab.example', '/a%2Fb/../c', {}, '/a%2Fb/../c'],
  ['https://gitlab.example?z=1', PATH, {}, `${PATH}?z=1`],
  ['https://gitlab.example?z=1&id=2', PATH, { id: 'group/a b', a: '' }, `${PATH}?a=&id=group%2Fa+b&z=1`],
];
for (const [base, path, query, target] of targets) {
  test(`${base} and ${path} make ${target}`, () => assert.equal(requestTarget(new URL(base), path, query), target));
}

test('a key may have several values', () => {
  assert.equal(requestTarget(new URL('http://h'), '/p', { b: ['2', '1'], a: [] }), '/p?b=2&b=1');
});

test('error texts have no query values, no user and no password', () => {
  const base = new URL('http://user:pass@gitlab.example:8080/x');
  assert.equal(maskedUrl(base, '/x/p?token=secret&id=a%26b'), 'http://gitlab.example:8080/x/p?token=x&id=x');
  assert.equal(maskedUrl(base, '/x/p'), 'http://gitlab.example:8080/x/p');
});
