import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATIC_TABLE, STATIC_TABLE_LENGTH } from './static_table.ts';

test('61 entries, those of RFC 7541, appendix A, in alphabetical order behind what HTTP/2 needs most', () => {
  assert.equal(STATIC_TABLE.length, (STATIC_TABLE_LENGTH + 1) * 2);
  const entry = (index: number) => STATIC_TABLE.slice(index * 2, index * 2 + 2);
  assert.deepEqual(entry(1), [':authority', '']);
  assert.deepEqual(entry(8), [':status', '200']);
  assert.deepEqual(entry(16), ['accept-encoding', 'gzip, deflate']);
  assert.deepEqual(entry(31), ['content-type', '']);
  assert.deepEqual(entry(61), ['www-authenticate', '']);
  const names = STATIC_TABLE.filter((_, i) => i % 2 === 0).slice(15);
  assert.equal(new Set(names).size, 47);
  // One stands where it would stand with a hyphen at its end.
  const place = (name: string) => (name === 'accept' ? 'accept-~' : name);
  assert.deepEqual(
    names,
    names.toSorted((a, b) => (place(a) < place(b) ? -1 : 1)),
  );
});
