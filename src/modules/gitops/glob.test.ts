import assert from 'node:assert/strict';
import { test } from 'node:test';
import { folderOf, Glob, GlobError } from './glob.ts';

test('globs match as agents expect', () => {
  const cases: [glob: string, matching: string[], other: string[]][] = [
    ['m/*.yaml', ['m/a.yaml', 'm/.yaml'], ['m/b/a.yaml', 'a.yaml', 'm/a.yml']],
    ['**/*.{yaml,yml,json}', ['a.yaml', 'a/b/c.yml', 'a/b.json'], ['a.txt', 'a/yaml', 'a.yamlx']],
    ['m/**', ['m/a', 'm/a/b'], ['n/a', 'm']],
    ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b'], ['a/xb', 'ab', 'a/b/c']],
    ['a**b', ['ab', 'axb'], ['a/b']],
    ['**/a/**/b', ['a/b', 'x/a/y/b'], ['xa/b']],
    ['?[a-c].[^x]', ['zb.y', 'ñc.ü'], ['zd.y', 'zb.x', '/b.y', 'zb./']],
    ['[\\]a\\-]', [']', 'a', '-'], ['b']],
    ['[!a^]', ['!', 'a', '^'], ['b']],
    ['\\*\\{.y', ['*{.y'], ['a{.y']],
    ['{a,b{c,d}}/{,x}f', ['a/f', 'bc/xf', 'bd/f'], ['b/f', 'bcd/f']],
    ['👍?', ['👍👍'], ['👍']],
  ];
  for (const [glob, matching, other] of cases) {
    const matcher = new Glob(glob);
    for (const path of matching) assert.ok(matcher.matches(path), `${glob} matches ${path}`);
    for (const path of other) assert.ok(!matcher.matches(path), `${glob} does not match ${path}`);
  }
});

test('a bad glob is named', () => {
  for (const glob of ['[a', '[]a]', '[a-]', '[-a]', '[a-b-c]', 'a\\', '{a,b', '[z-a]', '{a,b}'.repeat(12)]) {
    assert.throws(
      () => new Glob(glob),
      (error) => error instanceof GlobError && error.message.startsWith(`glob ${glob} match failed: `),
    );
  }
});

test('a glob that could match in a great many ways is no trouble', () => {
  assert.equal(new Glob(`${'*a'.repeat(50)}b`).matches('a'.repeat(500)), false);
});

test('the folder that a glob is about', () => {
  const cases: [glob: string, path: string, recursive: boolean][] = [
    ['*.yaml', '.', false],
    ['**/*.yaml', '.', true],
    ['m/*.yaml', 'm', false],
    ['m/n/a.yaml', 'm/n', false],
    ['m/x*/a.yaml', 'm', true],
    ['m/[ab].yaml', 'm', true],
    ['m/{a,b}', 'm', false],
    ['m/**', 'm', true],
  ];
  for (const [glob, path, recursive] of cases) assert.deepEqual(folderOf(glob), { path, recursive }, glob);
});
