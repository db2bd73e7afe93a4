import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeBase64 } from './base64.ts';

const full = Buffer.alloc(32, 7).toString('base64');

const rows: readonly [text: string, expected: string | number][] = [
  ['', 0],
  ['\n', 0],
  ['YQ==', 1],
  ['YWI=', 2],
  ['YWJj', 3],
  ['YW\r\nJj\n', 3],
  ['YQ=\n=\n', 1],
  [full, 32],
  [`${full}\n`, 32],
  [`${full} `, 'illegal base64 data at input byte 44'],
  ['YW!j', 'illegal base64 data at input byte 2'],
  ['YW-_', 'illegal base64 data at input byte 2'],
  ['YWJ', 'illegal base64 data at input byte 0'],
  ['YWJjYQ', 'illegal base64 data at input byte 4'],
  ['YQ=', 'illegal base64 data at input byte 0'],
  ['Y===', 'illegal base64 data at input byte 1'],
  ['YWJj=', 'illegal base64 data at input byte 4'],
  ['YQ==YQ==', 'illegal base64 data at input byte 4'],
];

for (const [text, expected] of rows) {
  test(`base64 ${JSON.stringify(text)}`, () => {
    const decoded = decodeBase64(text);
    if (typeof expected === 'string') assert.deepEqual(decoded, { wrong: expected });
    else assert.equal('bytes' in decoded ? decoded.bytes.length : decoded.wrong, expected);
  });
}
