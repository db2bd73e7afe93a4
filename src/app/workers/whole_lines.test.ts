import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WholeLines } from './whole_lines.ts';

function setUp() {
  const [lines, strange]: [string[], string[]] = [[], []];
  const whole = new WholeLines(
    (text) => lines.push(text),
    (text) => strange.push(text),
  );
  return { whole, lines, strange };
}

test('lines go on whole, however they come', () => {
  const { whole, lines, strange } = setUp();
  const bytes = Buffer.from('{"msg":"ä"}\n{"msg":"b"}\n{"msg":"c"}\n');
  for (const byte of bytes) whole.push(Buffer.from([byte]));
  assert.deepEqual(lines, ['{"msg":"ä"}\n', '{"msg":"b"}\n', '{"msg":"c"}\n']);
  whole.push(bytes);
  assert.equal(lines[3], bytes.toString());
  whole.end();
  assert.deepEqual(strange, []);
});

test('what is no log line is told apart', () => {
  const { whole, lines, strange } = setUp();
  whole.push(Buffer.from('{"msg":"a"}\n\n<--- Last few GCs --->\n{"msg":"b"}\nFATAL ERROR\n{"msg":'));
  whole.end();
  assert.deepEqual(lines, ['{"msg":"a"}\n', '{"msg":"b"}\n']);
  assert.deepEqual(strange, ['<--- Last few GCs --->', 'FATAL ERROR', '{"msg":']);
});

test('a line without end does not fill the memory', () => {
  const { whole, strange } = setUp();
  for (let i = 0; i < 40; i++) whole.push(Buffer.alloc(65_536, 'x'));
  assert.ok(strange.length >= 2);
});
