import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HpackPeer } from '../../../test/support/doubles/hpack_peer.ts';
import { seededRandom } from '../../../test/support/doubles/seeded_random.ts';
import { DynamicTable } from './dynamic_table.ts';

const entries = (table: DynamicTable) =>
  Array.from({ length: table.length }, (_, i) => [table.name(i), table.value(i)]);

test('the newest entry comes first', () => {
  const table = new DynamicTable();
  assert.deepEqual(entries(table), []);
  table.add('a', '1');
  table.add('b', '2');
  assert.deepEqual(entries(table), [
    ['b', '2'],
    ['a', '1'],
  ]);
});

test('an entry costs its characters and 32, and the oldest ones go', () => {
  const table = new DynamicTable();
  table.resize(3 * 34);
  for (const name of ['a', 'b', 'c']) table.add(name, '-');
  assert.equal(table.length, 3);
  table.add('d', '');
  assert.deepEqual(entries(table), [
    ['d', ''],
    ['c', '-'],
    ['b', '-'],
  ]);
  // Without the oldest one 35 bytes are free: too few by one.
  table.add('e', '---');
  assert.deepEqual(entries(table), [
    ['e', '---'],
    ['d', ''],
  ]);
});

test('an entry as large as the table is kept alone, a larger one empties it', () => {
  const table = new DynamicTable();
  table.resize(100);
  table.add('a', 'b');
  table.add('n'.repeat(30), 'v'.repeat(38));
  assert.deepEqual(entries(table), [['n'.repeat(30), 'v'.repeat(38)]]);
  table.add('n'.repeat(30), 'v'.repeat(39));
  assert.equal(table.length, 0);
  table.add('a', 'b');
  assert.deepEqual(entries(table), [['a', 'b']]);
});

test('it begins with 4096 bytes', () => {
  const table = new DynamicTable();
  for (let i = 0; i < 200; i++) table.add('', '');
  assert.equal(table.length, 128);
});

test('a smaller table loses its oldest entries, and gets none of them back', () => {
  const table = new DynamicTable();
  for (const name of ['a', 'b', 'c']) table.add(name, '-');
  table.resize(2 * 34);
  table.resize(4096);
  assert.deepEqual(entries(table), [
    ['c', '-'],
    ['b', '-'],
  ]);
  table.resize(0);
  assert.equal(table.length, 0);
  table.add('', '');
  assert.equal(table.length, 0);
});

test('it holds what the plainest table holds, whatever happens to it', () => {
  const random = seededRandom(61);
  for (let run = 0; run < 30; run++) {
    const table = new DynamicTable();
    const plain = new HpackPeer();
    for (let step = 0; step < 300; step++) {
      if (random.below(40) === 0) {
        const bytes = random.below(3) === 0 ? random.below(200) : random.below(8000);
        table.resize(bytes);
        plain.resize(bytes);
      } else {
        const name = 'n'.repeat(random.below(random.below(10) === 0 ? 3000 : 20));
        table.add(name, `${step}`);
        plain.field(name, `${step}`, { as: 'indexed', coded: false, refer: 0 });
      }
      assert.deepEqual(entries(table), plain.entries);
    }
  }
});
