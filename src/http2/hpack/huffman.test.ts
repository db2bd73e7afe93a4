import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBits, huffman, huffmanCodes } from '../../../test/support/doubles/hpack_peer.ts';
import { seededRandom } from '../../../test/support/doubles/seeded_random.ts';
import { HpackError } from './hpack_error.ts';
import { decodeHuffman, mostDecoded } from './huffman.ts';
import { HUFFMAN_CODE_LENGTHS } from './huffman_code.ts';

/** Decodes from the middle of other bytes, into a buffer that is no larger than it has to be. */
function decode(coded: Buffer): string {
  const to = Buffer.alloc(mostDecoded(coded.length));
  const from = Buffer.concat([Buffer.of(0x00, 0xff), coded, Buffer.of(0x55)]);
  return to.toString('latin1', 0, decodeHuffman(from, 2, 2 + coded.length, to));
}

const fails = (bits: string) => assert.throws(() => decode(fromBits(bits)), HpackError, bits);
const code = (character: string) => huffmanCodes[character.charCodeAt(0)]!;

test('the code is whole: no sequence of bits is without a meaning', () => {
  assert.equal(HUFFMAN_CODE_LENGTHS.length, 257);
  assert.equal(
    HUFFMAN_CODE_LENGTHS.reduce((sum, length) => sum + 2 ** (30 - length), 0),
    2 ** 30,
  );
});

test('codes are those of RFC 7541, appendix B', () => {
  const some = {
    '\0': 0x1ff8,
    '\n': 0x3ffffffc,
    ' ': 0x14,
    '0': 0x0,
    a: 0x3,
    '\\': 0x7fff0,
    '\xf9': 0xffffffe,
    '\xff': 0x3ffffee,
  };
  for (const [character, expected] of Object.entries(some)) assert.equal(Number.parseInt(code(character), 2), expected);
  assert.equal(huffmanCodes[256], '1'.repeat(30));
});

test('strings of RFC 7541, appendix C', () => {
  const coded = {
    f1e3c2e5f23a6ba0ab90f4ff: 'www.example.com',
    a8eb10649cbf: 'no-cache',
    '25a849e95ba97d7f': 'custom-key',
    d07abe941054d444a8200595040b8166e082a62d1bff: 'Mon, 21 Oct 2013 20:13:21 GMT',
    '9d29ad171863c78f0b97c8e9ae82ae43d3': 'https://www.example.com',
  };
  for (const [hex, text] of Object.entries(coded)) {
    assert.equal(decode(Buffer.from(hex, 'hex')), text);
    assert.equal(huffman(text).toString('hex'), hex);
  }
});

test('every byte before and behind every other one', () => {
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      const text = String.fromCharCode(first, second);
      assert.equal(decode(huffman(text)), text);
    }
  }
});

test('long strings of any bytes, and of the shortest codes, which fill the room', () => {
  const random = seededRandom(7541);
  for (let i = 0; i < 300; i++) {
    const text = random.bytes(random.below(300)).toString('latin1');
    assert.equal(decode(huffman(text)), text);
  }
  for (let length = 0; length < 50; length++) assert.equal(decode(huffman('a'.repeat(length))), 'a'.repeat(length));
  assert.equal(mostDecoded(5), 8);
});

test('EOS has no place in a string', () => {
  const eos = huffmanCodes[256]!;
  fails(eos);
  fails(eos + code('a'));
  fails(code('a') + eos + code('a'));
  fails(code('\n') + eos);
});

test('what fills the last byte has at most seven bits', () => {
  // 25 bits are coded: seven ones, as many as there may be.
  assert.equal(decode(fromBits(`${code('a').repeat(5)}1111111`)), 'aaaaa');
  assert.equal(decode(fromBits(code('&'))), '&');
  for (let ones = 8; ones < 30; ones++) {
    fails('1'.repeat(ones));
    fails(code('a') + '1'.repeat(ones + 3));
    fails(code('=') + '1'.repeat(ones + 2));
  }
});

test('what fills the last byte is all ones', () => {
  fails(`${code('a')}000`);
  fails(`${code('a')}011`);
  fails(`${code('a')}101`);
  fails(`${code('a')}110`);
  fails(`${code(':')}0`);
});

test('a code that is cut is none', () => {
  for (const character of ['\n', '\xff', '\0', '\\', '|']) {
    const bits = code('a') + code(character);
    for (let cut = 16; cut < bits.length; cut += 8) fails(bits.slice(0, cut));
  }
});

test('the empty string', () => assert.equal(decode(Buffer.alloc(0)), ''));
