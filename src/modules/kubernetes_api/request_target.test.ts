import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequestTarget, pathBelow } from './request_target.ts';

test('paths are decoded and otherwise left alone', () => {
  const cases: [string, string][] = [
    ['/a/b', '/a/b'],
    ['/a%2Fb//c/../%2e', '/a/b//c/../.'],
    ['/a+b#c', '/a+b#c'],
    ['/%e2%82%ac', '/€'],
    [Buffer.from('/€').toString('latin1'), '/€'],
    ['http://kas.example/a?b', '/a'],
    ['HTTPS://kas.example:1/a%20b', '/a b'],
    ['http://kas.example', ''],
    ['http://kas.example?a=/b', ''],
    ['mailto:x', ''],
    ['//host/a', '//host/a'],
    ['*', '*'],
  ];
  for (const [url, path] of cases) assert.equal(parseRequestTarget(url)?.path, path, url);
});

test('what is no target is refused', () => {
  for (const url of [
    '/%',
    '/%4',
    '/%zz',
    '/%4g',
    '',
    'a/b',
    '1http://x/',
    '/a\u0000',
    '/a\u007f',
    '/a?b\u0001c',
    ':',
  ]) {
    assert.equal(parseRequestTarget(url), undefined, JSON.stringify(url));
  }
});

test('queries are read as Go reads them', () => {
  const cases: [string, [string, string[]][]][] = [
    ['', []],
    [
      'a=1&b=2&a=3',
      [
        ['a', ['1', '3']],
        ['b', ['2']],
      ],
    ],
    [
      'a+b=c+d&e=%2B%26',
      [
        ['a b', ['c d']],
        ['e', ['+&']],
      ],
    ],
    ['a', [['a', ['']]]],
    ['=v', [['', ['v']]]],
    ['a=b=c', [['a', ['b=c']]]],
    ['&&a=1&', [['a', ['1']]]],
    ['a=1;b=2&c=3', [['c', ['3']]]],
    ['a=%zz&%=1&b=2', [['b', ['2']]]],
    ['a=?b', [['a', ['?b']]]],
    ['%C3%A4=%E2%82%AC', [['ä', ['€']]]],
    ['gitlab-agent-i%64=1', [['gitlab-agent-id', ['1']]]],
  ];
  for (const [query, lists] of cases) assert.deepEqual(parseRequestTarget(`/x?${query}`)?.query, lists, query);
});

test('what decodes to no UTF-8 is marked', () => {
  for (const url of ['/%ff', '/\u00ff', '/?a=%ff', '/?%c3=1', '/?a=\u00e9']) {
    assert.equal(parseRequestTarget(url)?.invalidUtf8, true, url);
  }
  assert.equal(parseRequestTarget('/%c3%a4?a=%c3%a4')?.invalidUtf8, false);
});

test('the prefix is compared with the decoded path and leaves a slash', () => {
  assert.equal(pathBelow('/k8s-proxy/api', '/k8s-proxy/'), '/api');
  assert.equal(pathBelow('/k8s-proxy/', '/k8s-proxy/'), '/');
  assert.equal(pathBelow('/k8s-proxy//x', '/k8s-proxy/'), '//x');
  assert.equal(pathBelow('/api', '/'), '/api');
  assert.equal(pathBelow('/k8s-proxy', '/k8s-proxy/'), undefined);
  assert.equal(pathBelow('/K8s-proxy/x', '/k8s-proxy/'), undefined);
});
