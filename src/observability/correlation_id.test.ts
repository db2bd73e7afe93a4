import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { newCorrelationId, validCorrelationId } from './correlation_id.ts';

const rows: readonly [name: string, value: string | undefined, kept: boolean][] = [
  ['a ULID', '01HF3Z0Y6Y8Z4W3Q7N5XJ2K1M9', true],
  ['a UUID', '6f9619ff-8b86-d011-b42d-00cf4fc964ff', true],
  ['what a load balancer makes', 'Root=1-67891233-abcdef012345678912345678', true],
  ['128 characters', 'a'.repeat(128), true],
  ['129 characters', 'a'.repeat(129), false],
  ['nothing', undefined, false],
  ['an empty one', '', false],
  ['a blank', 'a b', false],
  ['a quote', 'a"b', false],
  ['two ids', 'a, b', false],
  ['a line break', 'a\nb', false],
  ['a line break at the end', 'a\n', false],
  ['an umlaut', 'ä', false],
];

describe('correlation ids', () => {
  for (const [name, value, kept] of rows) {
    test(`${name} is ${kept ? '' : 'not '}kept`, () => {
      assert.equal(validCorrelationId(value), kept ? value : undefined);
    });
  }

  test('new ones are ULIDs of this moment, valid, and never the same', () => {
    const ids = new Set(Array.from({ length: 10_000 }, newCorrelationId));
    assert.equal(ids.size, 10_000);
    for (const id of ids) assert.match(id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
    const [id = ''] = ids;
    assert.equal(validCorrelationId(id), id);
    const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    const ms = [...id.slice(0, 10)].reduce((sum, char) => sum * 32 + alphabet.indexOf(char), 0);
    assert.ok(Math.abs(ms - Date.now()) < 60_000);
  });
});
