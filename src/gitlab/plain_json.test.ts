import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainJson } from './plain_json.ts';

test('numbers of 63 bits are exact, texts are escaped, maps are objects', () => {
  const value = new Map([
    ['ids', [1n, 2n ** 63n - 1n]],
    ['a "b"', [3]],
  ]);
  assert.equal(
    plainJson({ value, text: 'ü"\n\u2028', nested: { list: [], map: new Map() } }),
    '{"value":{"ids":[1,9223372036854775807],"a \\"b\\"":[3]},"text":"ü\\"\\n\u2028","nested":{"list":[],"map":{}}}',
  );
});
