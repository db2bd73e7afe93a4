import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { seededRandom } from '../../test/support/doubles/seeded_random.ts';
import { gunzip } from './gunzip.ts';

const LIMIT = 1 << 20;

function withAnnouncedSize(member: Buffer, size: number): Buffer {
  const lying = Buffer.from(member);
  lying.writeUInt32LE(size, lying.length - 4);
  return lying;
}

test('data of any size comes back as it was', () => {
  const random = seededRandom(1);
  for (const size of [0, 1, 2, 100, 16_383, 65_536, LIMIT - 1, LIMIT]) {
    for (const data of [random.bytes(size), Buffer.alloc(size, 'kas ')]) {
      for (const level of [0, 1, 9]) assert.deepEqual(gunzip(gzipSync(data, { level }), LIMIT), data);
    }
  }
});

test('one inflated message does not change the one before', () => {
  const first = gunzip(gzipSync('first'), LIMIT);
  gunzip(gzipSync('other'), LIMIT);
  assert.deepEqual(first, Buffer.from('first'));
});

test('a header with a file name is skipped', () => {
  const member = gzipSync('content');
  const named = Buffer.concat([
    member.subarray(0, 3),
    Buffer.of(8),
    member.subarray(4, 10),
    Buffer.from('name\0'),
    member.subarray(10),
  ]);
  assert.deepEqual(gunzip(named, LIMIT), Buffer.from('content'));
});

test('more than the limit is refused, whether its size says so or not', () => {
  const bomb = gzipSync(Buffer.alloc(LIMIT + 1));
  assert.equal(gunzip(bomb, LIMIT), 'too large');
  for (const size of [0, 1, 1000, LIMIT])
    assert.ok(['too large', 'gzip: invalid checksum'].includes(String(gunzip(withAnnouncedSize(bomb, size), LIMIT))));
});

test('a size that does not agree with the content makes it corrupt', () => {
  const member = gzipSync('some content');
  const corrupt = 'gzip: invalid checksum';
  for (const size of [0, 1, 11, 13, 500]) assert.equal(gunzip(withAnnouncedSize(member, size), LIMIT), corrupt);
  assert.equal(gunzip(withAnnouncedSize(member, LIMIT), LIMIT), corrupt, 'more than any compression reaches');
});

test('what is corrupt is told in the words of Go’s gzip', () => {
  const member = gzipSync('some content');
  const flipped = (at: number) => {
    const damaged = Buffer.from(member);
    damaged[at]! ^= 0xff;
    return gunzip(damaged, LIMIT);
  };
  assert.equal(gunzip(Buffer.from('this is no gzip at all'), LIMIT), 'gzip: invalid header');
  for (const at of [0, 1, 2]) assert.equal(flipped(at), 'gzip: invalid header', `byte ${at}`);
  assert.equal(flipped(10), 'flate: corrupt input', 'the type of the first block');
  assert.equal(flipped(member.length - 5), 'gzip: invalid checksum');
  for (const length of [1, 9, 10, 19, member.length - 1])
    assert.equal(gunzip(member.subarray(0, length), LIMIT), 'unexpected EOF', `${length} bytes`);
  assert.equal(gunzip(Buffer.concat([member, Buffer.from('not a member\0\0\0\0')]), LIMIT), 'gzip: invalid header');
});

test('two members are one message', () => {
  const [first, second] = [Buffer.alloc(3000, 'a'), Buffer.from('b')];
  assert.deepEqual(gunzip(Buffer.concat([gzipSync(first), gzipSync(second)]), LIMIT), Buffer.concat([first, second]));
  assert.deepEqual(gunzip(Buffer.concat([gzipSync(second), gzipSync(first)]), LIMIT), Buffer.concat([second, first]));
});

test('two members that are too large together are refused', () => {
  const half = gzipSync(Buffer.alloc(LIMIT / 2 + 1));
  assert.equal(gunzip(Buffer.concat([half, half]), LIMIT), 'too large');
});

test('a member that breaks off is corrupt wherever it does, and the next one is none the worse', () => {
  const data = seededRandom(2).bytes(300);
  const member = gzipSync(data);
  for (let length = 0; length < member.length; length++) {
    assert.ok(!Buffer.isBuffer(gunzip(member.subarray(0, length), LIMIT)), `${length} bytes`);
  }
  assert.deepEqual(gunzip(member, LIMIT), data);
});

test('a member whose header does not even end is no empty one', () => {
  const member = gzipSync('');
  member[3] = 8; // a name follows, and nothing ends it
  member.fill('n', 10, member.length - 4);
  assert.equal(gunzip(member, LIMIT), 'unexpected EOF');
});

test('damaged content never passes for the original', () => {
  const data = Buffer.from('a text with some words, some of them again: a text with some words');
  const member = gzipSync(data);
  let refused = 0;
  for (let bit = 10 * 8; bit < member.length * 8; bit++) {
    const damaged = Buffer.from(member);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    const result = gunzip(damaged, LIMIT);
    // The last byte of the compressed data has bits that mean nothing.
    if (Buffer.isBuffer(result)) assert.deepEqual(result, data, `bit ${bit}`);
    else refused++;
  }
  assert.ok(refused > (member.length - 11) * 8, `${refused} of ${(member.length - 10) * 8}`);
  assert.deepEqual(gunzip(member, LIMIT), data);
});

test('random bytes are refused and harm nothing', () => {
  const random = seededRandom(3);
  for (let i = 0; i < 300; i++) {
    const garbage = Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), random.bytes(random.below(60))]);
    const result = gunzip(garbage, LIMIT);
    assert.ok(!Buffer.isBuffer(result), garbage.toString('hex'));
  }
  assert.deepEqual(gunzip(gzipSync('fine'), LIMIT), Buffer.from('fine'));
});
