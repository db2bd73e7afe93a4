import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatProblem, Report } from '../problem.ts';
import { parseYaml } from '../yaml/parse.ts';
import { addressProblem, urlRule } from './address.ts';
import { type Field, retired } from './field.ts';
import { autoOr, duration, naturalInt32, oneOf, rate, requiredId, size, uint32 } from './number.ts';
import { file, flag, optionalText, requiredText, secretText, text } from './scalar.ts';
import { list, optionalSection, section, unreadSection } from './section.ts';
import { closest } from './suggest.ts';

/** The value of `k` in `yaml`, problems, warnings. */
function decode<T>(field: Field<T>, yaml: string): { value: T; problems: string[]; warnings: string[] } {
  const report = new Report('/etc/kas');
  const { tree } = parseYaml(yaml, 'f');
  report.locate('', { source: 'f', line: 1, column: 1 });
  const root = section({ doc: '', keys: { k: field } });
  const { k } = root.decode(tree, '', report);
  return { value: k as T, problems: report.problems.map(formatProblem), warnings: report.warnings.map(formatProblem) };
}

const d = { doc: '' };
const positive = duration({ doc: '', default: '300s' });
const natural = duration({ doc: '', default: '300s', least: 'natural' });
const level = oneOf({ doc: '', names: ['debug', 'info'], default: 'info', numbered: ['info', 'debug'] });
const bytes = size({ doc: '', default: '16MiB' });
const workers = autoOr({ doc: '', least: 1, most: 128, default: 1 });

const good: readonly [name: string, field: Field<unknown>, yaml: string, expected: unknown][] = [
  ['absent duration', positive, '{}', 300_000],
  ['null duration', positive, 'k: null', 300_000],
  ['duration', positive, 'k: 0.1s', 100],
  ['duration to the nanosecond', positive, 'k: 0.000000001s', 0.000001],
  ['duration that floats badly', positive, 'k: 0.29s', 290],
  ['zero where zero means something', natural, 'k: 0s', 0],
  ['absent text', text({ doc: '', default: 'x' }), '{}', 'x'],
  ['empty text', text({ doc: '', default: 'x' }), 'k: ""', 'x'],
  ['text', text({ doc: '', default: 'x' }), 'k: y z', 'y z'],
  ['quoted number', requiredText(d), 'k: "1"', '1'],
  ['absent optional text', optionalText(d), '{}', undefined],
  ['secret text', secretText(d), 'k: pw', 'pw'],
  ['relative file', file(d), 'k: a/b', '/etc/kas/a/b'],
  ['absolute file', file(d), 'k: /a/b', '/a/b'],
  ['empty file', file(d), 'k: ""', undefined],
  ['absent flag', flag(d), '{}', false],
  ['flag', flag(d), 'k: on', true],
  ['absent uint32', uint32({ doc: '', default: 7 }), '{}', 7],
  ['zero uint32', uint32({ doc: '', default: 7 }), 'k: 0', 7],
  ['uint32', uint32({ doc: '', default: 7 }), 'k: 4294967295', 4294967295],
  ['uint32 in quotes', uint32({ doc: '', default: 7 }), 'k: "12"', 12],
  ['uint32 as protobuf’s JSON takes it', uint32({ doc: '', default: 7 }), 'k: 1.0e+3', 1000],
  ['int32', naturalInt32({ doc: '', default: 0 }), 'k: 2147483647', 2147483647],
  ['int64', requiredId(d), 'k: 9223372036854775807', 9223372036854775807n],
  ['int64 in quotes', requiredId(d), 'k: "42"', 42n],
  ['rate', rate({ doc: '', default: 50 }), 'k: 0.5', 0.5],
  ['whole rate', rate({ doc: '', default: 50 }), 'k: 3', 3],
  ['zero rate', rate({ doc: '', default: 50 }), 'k: 0', 50],
  ['absent enum', level, '{}', 'info'],
  ['enum by name', level, 'k: debug', 'debug'],
  ['enum by number', level, 'k: 1', 'debug'],
  ['absent number or auto', workers, '{}', 1],
  ['zero where auto would do', workers, 'k: 0', 1],
  ['number where auto would do', workers, 'k: 8', 8],
  ['auto', workers, 'k: auto', 'auto'],
  ['absent size', bytes, '{}', 16_777_216],
  ['size in bytes', bytes, 'k: 65536', 65536],
  ['size in KiB', bytes, 'k: 64KiB', 65536],
  ['size in MiB', bytes, 'k: 2 MiB', 2_097_152],
  ['list', list({ doc: '', item: requiredText(d) }), 'k: [a, b]', ['a', 'b']],
  ['absent list', list({ doc: '', item: requiredText(d) }), '{}', []],
  ['absent section', optionalSection({ doc: '', keys: { a: flag(d) } }), '{}', undefined],
  ['null section', optionalSection({ doc: '', keys: { a: flag(d) } }), 'k:', undefined],
  ['empty section', optionalSection({ doc: '', keys: { a: flag(d) } }), 'k: {}', { a: false }],
  ['created section', section({ doc: '', keys: { a: flag(d) } }), '{}', { a: false }],
  ['unread section', unreadSection(d), 'k: {what: ever}', undefined],
];

const bad: readonly [name: string, field: Field<unknown>, yaml: string, expected: string][] = [
  ['Go duration', positive, 'k: 5m', 'f:1:4: k: "5m" is not a duration (write "300s")'],
  ['bare number', positive, 'k: 5', 'f:1:4: k: 5 is not a duration (write "5s")'],
  [
    'odd duration',
    positive,
    'k: soon',
    'f:1:4: k: "soon" is not a duration (seconds with an s, such as "300s" or "0.5s")',
  ],
  [
    'ten decimals',
    positive,
    'k: 0.0000000001s',
    'f:1:4: k: "0.0000000001s" is not a duration (seconds with an s, such as "300s" or "0.5s")',
  ],
  ['zero duration', positive, 'k: 0s', 'f:1:4: k: "0s" must be greater than 0s'],
  ['negative duration', natural, 'k: -1s', 'f:1:4: k: "-1s" must not be negative'],
  ['number as text', requiredText(d), 'k: 1', 'f:1:4: k: 1 is not a string (put it into quotes)'],
  ['bool as text', text(d), 'k: yes', 'f:1:4: k: yes is not a string (put it into quotes)'],
  ['list as text', text(d), 'k: [a]', 'f:1:4: k: a list is not a string'],
  ['missing text', requiredText(d), '{}', 'f:1:1: k: is required'],
  ['empty text', requiredText(d), 'k: ""', 'f:1:4: k: "" must not be empty'],
  ['empty optional text', optionalText(d), 'k: ""', 'f:1:4: k: "" must not be empty'],
  ['empty optional file', file({ doc: '', presence: 'non-empty' }), 'k: ""', 'f:1:4: k: "" must not be empty'],
  ['secret of the wrong type', secretText(d), 'k: 1234', 'f:1:4: k: is not a string (put it into quotes)'],
  [
    'password in a URL',
    requiredText({ doc: '', rule: urlRule('http') }),
    'k: ftp://u:pw@h',
    'f:1:4: k: "ftp://u@h" is not a URL with http://',
  ],
  [
    'password with @, and key in the query of a URL',
    requiredText({ doc: '', rule: urlRule('http') }),
    'k: ftp://u:p@w@h/p?key=hunter2&hunter3&b=hunter4#f',
    'f:1:4: k: "ftp://u@h/p?key=&&b=#f" is not a URL with http://',
  ],
  ['text as flag', flag(d), 'k: "true"', 'f:1:4: k: "true" is not a bool (true or false)'],
  ['uint32 below', uint32({ doc: '', default: 1 }), 'k: -1', 'f:1:4: k: -1 is out of range, 0 to 4294967295'],
  [
    'uint32 above',
    uint32({ doc: '', default: 1 }),
    'k: 4294967296',
    'f:1:4: k: 4294967296 is out of range, 0 to 4294967295',
  ],
  ['fraction', uint32({ doc: '', default: 1 }), 'k: 1.5', 'f:1:4: k: 1.5 is not a whole number'],
  ['zero id', requiredId(d), 'k: 0', 'f:1:4: k: 0 is out of range, 1 to 9223372036854775807'],
  ['negative rate', rate({ doc: '', default: 1 }), 'k: -0.5', 'f:1:4: k: -0.5 must not be negative'],
  ['infinite rate', rate({ doc: '', default: 1 }), 'k: .inf', 'f:1:4: k: .inf is not a number'],
  ['enum', level, 'k: debgu', 'f:1:4: k: "debgu" is not one of debug, info (did you mean debug?)'],
  ['enum number', level, 'k: 9', 'f:1:4: k: 9 is not one of debug, info'],
  ['size', bytes, 'k: 16MB', 'f:1:4: k: "16MB" is not a size: a whole number of bytes, or one with KiB, MiB or GiB'],
  [
    'item of a list',
    list({ doc: '', item: requiredText(d) }),
    'k:\n - a\n - 1',
    'f:3:4: k[1]: 1 is not a string (put it into quotes)',
  ],
  [
    'null in a list',
    list({ doc: '', item: optionalText(d) }),
    'k: [~]',
    'f:1:5: k[0]: an item of a list must not be null',
  ],
  [
    'empty list',
    list({ doc: '', item: requiredText(d), nonEmpty: true }),
    'k: []',
    'f:1:4: k: must have at least one item',
  ],
  ['no list', list({ doc: '', item: requiredText(d) }), 'k: {}', 'f:1:1: k: a mapping is not a list'],
  ['no mapping', section({ doc: '', keys: { a: requiredText(d) } }), 'k: 1', 'f:1:4: k: 1 is not a mapping'],
  ['no mapping, unread', unreadSection(d), 'k: [1]', 'f:1:4: k: a list is not a mapping'],
  [
    'missing in a section',
    section({ doc: '', keys: { a: requiredText(d) } }),
    'x: 1\nk:\n  b: 1',
    'f:2:1: k.a: is required',
  ],
];

describe('fields', () => {
  for (const [name, field, yaml, expected] of good) {
    test(`take ${name}: ${yaml}`, () => {
      const { value, problems } = decode(field, yaml);
      assert.deepEqual(problems, []);
      assert.deepEqual(value, expected);
    });
  }
  for (const [name, field, yaml, expected] of bad) {
    test(`refuse ${name}: ${yaml.replaceAll('\n', ' ')}`, () =>
      assert.deepEqual(decode(field, yaml).problems, [expected]));
  }

  test('unknown and retired keys warn', () => {
    const keys = { network: flag(d), old: retired(flag(d), 'gone') };
    const { problems, warnings } = decode(
      section({ doc: '', keys }),
      'k:\n  netwrok: 1\n  old: yes\n  zzz: 2\n  toString: 3',
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(warnings, [
      'f:2:3: k.netwrok: unknown key, ignored (did you mean network?)',
      'f:3:3: k.old: gone',
      'f:4:3: k.zzz: unknown key, ignored',
      'f:5:3: k.toString: unknown key, ignored',
    ]);
  });

  test('secrets are not printed', () => {
    const keys = section({ doc: '', keys: { a: secretText(d), b: text(d) } });
    assert.deepEqual(keys.encode({ a: 'x', b: 'y' }), { b: 'y' });
  });
});

describe('addresses', () => {
  const rows: readonly [Parameters<typeof addressProblem>[0], string, RegExp | undefined][] = [
    ['tcp', '127.0.0.1:8150', undefined],
    ['tcp', ':8150', undefined],
    ['tcp', 'localhost:0', undefined],
    ['tcp', 'kas.example.com.:65535', undefined],
    ['tcp', '[::1]:8150', undefined],
    ['tcp6', '[::]:8150', undefined],
    ['tcp4', '0.0.0.0:8150', undefined],
    ['unix', '/run/kas.sock', undefined],
    ['unix', `/${'a'.repeat(106)}`, undefined],
    ['unix', `/${'ä'.repeat(54)}`, /109 bytes/],
    ['unix', `/${'a'.repeat(107)}`, /too long for a socket: 108 bytes/],
    ['tcp', '8150', /not host:port/],
    ['tcp', '', /not host:port/],
    ['tcp', '::1:8150', /brackets/],
    ['tcp', 'a:99999', /no port between/],
    ['tcp', 'a:', /no port between/],
    ['tcp', 'a:http', /no port between/],
    ['tcp', '[a]:1', /brackets/],
    ['tcp', 'a b:1', /neither a name nor/],
    ['tcp', 'http://a:1', /not host:port/],
    ['tcp4', '[::1]:1', /tcp4/],
    ['tcp6', '127.0.0.1:1', /tcp6/],
  ];
  for (const [network, address, expected] of rows) {
    test(`${network} ${address.slice(0, 30)}`, () => {
      const problem = addressProblem(network, address);
      if (expected === undefined) assert.equal(problem, undefined);
      else assert.match(problem ?? '', expected);
    });
  }
});

test('suggestions are near, or there are none', () => {
  const names = ['tcp', 'tcp4', 'tcp6', 'unix'];
  const rows: readonly [string, string | undefined][] = [
    ['tpc', 'tcp'],
    ['TCP', 'tcp'],
    ['unx', 'unix'],
    ['udp', undefined],
    ['x', undefined],
    ['x'.repeat(1000), undefined],
  ];
  for (const [written, expected] of rows) assert.equal(closest(written, names), expected, written);
});
