import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeClock } from '../runtime/fake_clock.ts';
import { toJson } from './json.ts';
import { createJsonLog } from './json_log.ts';
import type { Level } from './log.ts';

function logWith(level: Level): { lines: string[]; log: ReturnType<typeof createJsonLog> } {
  const lines: string[] = [];
  const log = createJsonLog({
    level,
    clock: new FakeClock(Date.UTC(2023, 9, 16, 1, 43, 33, 123)),
    write: (line) => lines.push(line),
  });
  return { lines, log };
}

describe('the log', () => {
  test('writes one object a line, in upstream’s order', () => {
    const { lines, log } = logWith('info');
    log.with({ mod_name: 'x' }).with({ agent_id: 5n }).info('Up\n', { net_network: 'tcp', gone: undefined });
    const [line = ''] = lines;
    assert.equal(lines.length, 1);
    assert.match(
      line,
      /^\{"level":"info","time":"[^"]+\.\d{3}(Z|[+-]\d{4})","msg":"Up\\n","mod_name":"x","agent_id":5,"net_network":"tcp"\}\n$/,
    );
    assert.equal(Date.parse(JSON.parse(line).time), Date.UTC(2023, 9, 16, 1, 43, 33, 123));
  });

  for (const [level, expected] of [
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
  ] as const) {
    test(`at ${level} writes ${expected.join(', ')}`, () => {
      const { lines, log } = logWith(level);
      log.debug('a');
      log.info('a');
      log.warn('a');
      log.error('a', { hint: 'b' });
      assert.deepEqual(
        lines.map((line) => JSON.parse(line).level),
        expected,
      );
      assert.equal(log.debugEnabled, level === 'debug');
    });
  }
});

class Token {
  toJSON(): string {
    return '[secret]';
  }
}

const circle: unknown[] = [];
circle.push(circle);

const rows: readonly [name: string, value: unknown, expected: string | RegExp][] = [
  ['text', 'a"\u0000', '"a\\"\\u0000"'],
  ['half a character', '\ud800', '"\\ud800"'],
  ['big number', 2n ** 63n, '9223372036854775808'],
  ['no number', Number.NaN, '"NaN"'],
  ['null', null, 'null'],
  ['undefined in a list', [undefined, 1], '[null,1]'],
  ['undefined in an object', { a: undefined, b: 1 }, '{"b":1}'],
  ['bytes', Buffer.from([1, 2, 255]), '"AQL/"'],
  ['part of bytes', new Uint8Array([0, 1, 2, 255]).subarray(1), '"AQL/"'],
  ['map', new Map([['a', 1n]]), '{"a":1}'],
  ['set', new Set(['a']), '["a"]'],
  ['secret', { token: new Token() }, '{"token":"[secret]"}'],
  ['error', new Error('no'), '"no"'],
  ['error with its cause', new Error('a', { cause: new Error('b') }), '"a: b"'],
  ['error that quotes its cause', new Error('a: b', { cause: new Error('b') }), '"a: b"'],
  ['error without a message', new TypeError(), '"TypeError"'],
  ['several errors', new AggregateError([new Error('x'), new Error('y')]), '"Error: x; Error: y"'],
  ['function', () => 1, '"function"'],
  ['circle', circle, /^\[+"…"\]+$/],
  [
    'thrower',
    {
      get a(): never {
        throw new Error('boom');
      },
    },
    '"cannot be logged: boom"',
  ],
  ['long text', 'x'.repeat(1024 * 1024), /^"x{16384}…"$/],
];

describe('JSON for the log', () => {
  for (const [name, value, expected] of rows) {
    test(name, () => {
      if (typeof expected === 'string') assert.equal(toJson(value), expected);
      else assert.match(toJson(value), expected);
    });
  }
});
