import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyFor } from './proxy_choice.ts';

const HTTPS_PROXY = 'http://proxy.example:3128';

const choices: [string, string, Record<string, string>, string | undefined][] = [
  ['nothing set', 'https://gitlab.example', {}, undefined],
  ['by scheme', 'https://gitlab.example', { HTTPS_PROXY, HTTP_PROXY: 'http://other' }, `${HTTPS_PROXY}/`],
  ['by scheme', 'http://gitlab.example', { HTTPS_PROXY }, undefined],
  ['lower case', 'http://gitlab.example', { http_proxy: 'http://p' }, 'http://p/'],
  ['upper case first', 'http://gitlab.example', { HTTP_PROXY: 'http://p', http_proxy: 'http://q' }, 'http://p/'],
  ['empty means unset', 'https://gitlab.example', { HTTPS_PROXY: '', https_proxy: 'http://q' }, 'http://q/'],
  ['without scheme', 'http://gitlab.example', { HTTP_PROXY: 'proxy:8080' }, 'http://proxy:8080/'],
  ['this machine', 'https://localhost:8443', { HTTPS_PROXY }, undefined],
  ['this machine', 'https://127.3.2.1', { HTTPS_PROXY }, undefined],
  ['this machine', 'https://[::1]', { HTTPS_PROXY }, undefined],
];
for (const [what, url, env, proxy] of choices) {
  test(`${what}: ${url} with ${JSON.stringify(env)}`, () => assert.equal(proxyFor(new URL(url), env)?.href, proxy));
}

const exempt: [string, string, boolean][] = [
  ['*', 'gitlab.example', true],
  ['gitlab.example', 'gitlab.example', true],
  [' other , GITLAB.example ', 'gitlab.example', true],
  ['example', 'gitlab.example', true],
  ['lab.example', 'gitlab.example', false],
  ['.example', 'gitlab.example', true],
  ['*.example', 'gitlab.example', true],
  ['.gitlab.example', 'gitlab.example', false],
  ['gitlab.example:443', 'gitlab.example', true],
  ['gitlab.example:8443', 'gitlab.example', false],
  ['10.1.2.3', '10.1.2.3', true],
  ['10.1.2.3:443', '10.1.2.3', true],
  ['10.1.2.3:80', '10.1.2.3', false],
  ['10.0.0.0/8', '10.1.2.3', true],
  ['10.0.0.0/8', '11.1.2.3', false],
  ['10.0.0.0/99', '10.1.2.3', false],
  ['10.0.0.0/8', 'gitlab.example', false],
  ['2001:db8::/32', '[2001:db8::1]', true],
  ['[2001:db8::1]:443', '[2001:db8::1]', true],
  ['2001:db8::1', '[2001:db8::1]', true],
  ['', 'gitlab.example', false],
];
for (const [noProxy, host, direct] of exempt) {
  test(`NO_PROXY=${noProxy} ${direct ? 'exempts' : 'does not exempt'} ${host}`, () => {
    assert.equal(proxyFor(new URL(`https://${host}`), { HTTPS_PROXY, NO_PROXY: noProxy }) === undefined, direct);
  });
}

test('a proxy that cannot be used is refused without its password', () => {
  const bad: [string, RegExp][] = [
    ['socks5://u:hunter2@proxy', /scheme socks5/],
    ['http://u:hunter2@proxy:99999', /is not a URL/],
  ];
  for (const [value, message] of bad) {
    assert.throws(
      () => proxyFor(new URL('http://gitlab.example'), { HTTP_PROXY: value }),
      (error: Error) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  }
});
