import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatProblem } from '../problem.ts';
import { parseYaml } from './parse.ts';
import { mergeTrees, type Tree } from './tree.ts';

function plain(tree: Tree): unknown {
  if (tree.kind === 'list') return tree.items.map(plain);
  if (tree.kind === 'scalar') return tree.value;
  return Object.fromEntries([...tree.entries].map(([key, { value }]) => [key, plain(value)]));
}

function read(text: string): unknown {
  const { tree, problems } = parseYaml(text, 'f');
  assert.deepEqual(problems, []);
  assert.ok(tree);
  return plain(tree);
}

describe('YAML', () => {
  test('is of version 1.1, without times, dates and binary', () => {
    const text =
      'a: yes\nb: OFF\nc: 0x10\nd: 1:30\ne: 2023-10-16\nf: "no"\ng:\nh: ~\ni: 1.5\nj: :8150\nk: 9007199254740993';
    assert.deepEqual(read(text), {
      ...{ a: true, b: false, c: 16n, d: '1:30', e: '2023-10-16', f: 'no', g: null, h: null },
      ...{ i: 1.5, j: ':8150', k: 9007199254740993n },
    });
  });

  test('resolves aliases and merge keys; what is written beside them wins', () => {
    assert.deepEqual(read('x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {b: 4, <<: [{c: 5}, *x]}'), {
      x: { a: 1n, b: 2n },
      y: { a: 1n, b: 3n },
      z: { a: 1n, b: 4n, c: 5n },
    });
  });

  test('takes JSON', () => assert.deepEqual(read('{"a": {"b": [true, "x"]}}'), { a: { b: [true, 'x'] } }));

  test('an empty text is no tree, and no problem of its own', () => {
    for (const text of ['', '# nothing\n', '---\n']) {
      const { tree, problems } = parseYaml(text, 'f');
      assert.deepEqual(problems, []);
      assert.ok(tree === undefined || plain(tree) === null, text);
    }
  });

  test('knows where values stand', () => {
    const { tree } = parseYaml('a:\n  b:\n    - x\n    - yy\n', 'f');
    assert.ok(tree?.kind === 'map');
    const a = tree.entries.get('a');
    assert.deepEqual(a?.keyPosition, { source: 'f', line: 1, column: 1 });
    const b = a?.value.kind === 'map' ? a.value.entries.get('b')?.value : undefined;
    assert.deepEqual(b?.kind === 'list' ? b.items[1]?.position : undefined, { source: 'f', line: 4, column: 7 });
  });

  const bomb = Array.from({ length: 12 }, (_, i) => `a${i}: &a${i} [${`*a${i - 1},`.repeat(i === 0 ? 0 : 9)}x]`);
  const wrong: readonly [name: string, text: string, expected: RegExp][] = [
    ['an open bracket', 'a: [1', /^f:1:\d+: bad YAML: Flow sequence/],
    ['a duplicate key', 'a: 1\nb: 2\na: 3', /^f:3:1: bad YAML: Map keys must be unique$/],
    ['an unknown alias', 'a: 1\nb: *x', /^f:2:4: bad YAML: no anchor &x$/],
    ['an alias to what it is in', 'a: &a [*a]', /^f:1:\d+: bad YAML: /],
    ['an alias bomb', bomb.join('\n'), /^f:\d+:\d+: bad YAML: too large once its aliases are resolved$/],
    ['a mapping as a key', '{[1]: 2}', /^f:1:2: bad YAML: a key must be a plain name$/],
    ['a scalar to merge', '<<: 1', /^f:1:1: bad YAML: << takes a mapping/],
    ['deep nesting', `${'['.repeat(100)}${']'.repeat(100)}`, /^f:1:\d+: bad YAML: nested too deeply$/],
    ['very deep nesting', '['.repeat(100_000), /^f:1:\d+: bad YAML: /],
  ];
  for (const [name, text, expected] of wrong) {
    test(`refuses ${name}`, () => {
      const { tree, problems } = parseYaml(text, 'f');
      assert.equal(tree, undefined);
      assert.match(problems.map(formatProblem)[0] ?? '', expected);
    });
  }

  test('shows no line of a text that may hold a password', () => {
    const { problems } = parseYaml('password: "hunter2\n', 'f');
    assert.ok(problems.length > 0);
    assert.doesNotMatch(JSON.stringify(problems), /hunter2/);
  });

  test('warns about a second document', () => {
    const { tree, warnings } = parseYaml('a: 1\n---\nb: 2\n', 'f');
    assert.deepEqual(tree && plain(tree), { a: 1n });
    assert.match(warnings.map(formatProblem)[0] ?? '', /^f:\d:\d: only the first document/);
  });
});

describe('merging', () => {
  const merged = (base: string, over: string): unknown => {
    const [a, b] = [parseYaml(base, 'a').tree, parseYaml(over, 'b').tree];
    assert.ok(a?.kind === 'map' && b?.kind === 'map');
    return plain(mergeTrees(a, b, [['r.one', 'r.two']]));
  };
  const cases: readonly [string, string, unknown][] = [
    ['{a: {b: 1, c: 2}}', '{a: {c: 3, d: 4}}', { a: { b: 1n, c: 3n, d: 4n } }],
    ['{a: [1, 2]}', '{a: [3]}', { a: [3n] }],
    ['{a: 1}', '{a: null}', { a: 1n }],
    ['{a: 1}', '{a: {b: 2}}', { a: { b: 2n } }],
    ['{a: null}', '{a: {b: 2}}', { a: { b: 2n } }],
    ['{r: {one: {x: 1}, z: 1}}', '{r: {two: {y: 2}}}', { r: { z: 1n, two: { y: 2n } } }],
    ['{r: {one: {x: 1}}}', '{r: {one: {y: 2}}}', { r: { one: { x: 1n, y: 2n } } }],
    ['{q: {one: 1}}', '{q: {two: 2}}', { q: { one: 1n, two: 2n } }],
  ];
  for (const [base, over, expected] of cases) {
    test(`${base} and ${over}`, () => assert.deepEqual(merged(base, over), expected));
  }
});
