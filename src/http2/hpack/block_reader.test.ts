import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { hpackInteger, hpackString } from '../../../test/support/doubles/hpack_peer.ts';
import { BlockReader } from './block_reader.ts';
import { HpackError } from './hpack_error.ts';

function readInteger(block: Buffer, prefixBits: number): { value: number; rest: number } {
  const reader = new BlockReader(block);
  const value = reader.integer(reader.byte(), 2 ** prefixBits - 1);
  let rest = 0;
  for (; reader.hasMore; rest++) reader.byte();
  return { value, rest };
}

const fails = (hex: string) => assert.throws(() => readInteger(Buffer.from(hex, 'hex'), 5), HpackError, hex);

test('integers of RFC 7541, C.1', () => {
  assert.deepEqual(readInteger(Buffer.of(0b11101010), 5), { value: 10, rest: 0 });
  assert.deepEqual(readInteger(Buffer.of(0b11111111, 0b10011010, 0b00001010), 5), { value: 1337, rest: 0 });
  assert.deepEqual(readInteger(Buffer.of(0b00101010), 8), { value: 42, rest: 0 });
});

test('integers around every size, in every prefix', () => {
  const values = [0, 1, 2 ** 31 - 1, 2 ** 31];
  for (let bits = 1; bits <= 31; bits++) for (const near of [-1, 0, 1, 30, 126, 127]) values.push(2 ** bits + near);
  for (let prefixBits = 4; prefixBits <= 7; prefixBits++) {
    for (const value of values) {
      if (value > 2 ** 31) continue;
      const block = Buffer.concat([hpackInteger(0, prefixBits, value), Buffer.of(0xff)]);
      assert.deepEqual(readInteger(block, prefixBits), { value, rest: 1 });
    }
  }
});

test('an integer may have five bytes behind its first one, also if they add nothing', () => {
  assert.deepEqual(readInteger(Buffer.from('1f8080808000', 'hex'), 5), { value: 31, rest: 0 });
  assert.deepEqual(readInteger(Buffer.from('1f8181808000', 'hex'), 5), { value: 31 + 129, rest: 0 });
  fails('1f808080808000');
  fails('1f808080808080808080808080808000');
});

test('no integer is larger than 2^31', () => {
  assert.deepEqual(readInteger(Buffer.from('1fe1ffffff07', 'hex'), 5), { value: 2 ** 31, rest: 0 });
  fails('1fe2ffffff07');
  fails('1fffffffff7f');
});

test('an integer that is cut', () => {
  for (const hex of ['', '1f', '1f80', '1fffffff']) fails(hex);
});

test('strings, plain and Huffman-coded, a character a byte', () => {
  const long = 'x\xff'.repeat(5000);
  for (const text of ['', 'a', 'application/grpc', 'caf\xe9\0\x80\xff', 'y'.repeat(126), 'z'.repeat(127), long]) {
    for (const coded of [false, true]) {
      const reader = new BlockReader(Buffer.concat([hpackString(text, coded), hpackString('next', coded)]));
      assert.equal(reader.text(), text);
      assert.equal(reader.text(), 'next');
      assert.equal(reader.hasMore, false);
    }
  }
});

test('a string that is cut', () => {
  for (const coded of [false, true]) {
    const whole = hpackString('custom-value'.repeat(20), coded);
    for (let cut = 0; cut < whole.length; cut++) {
      assert.throws(() => new BlockReader(whole.subarray(0, cut)).text(), HpackError);
    }
  }
});

test('a string that says to be larger than anything takes no memory', () => {
  const before = process.memoryUsage().arrayBuffers;
  for (const first of ['7f', 'ff']) {
    assert.throws(() => new BlockReader(Buffer.from(`${first}81ffffff07616161`, 'hex')).text(), HpackError);
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
});
