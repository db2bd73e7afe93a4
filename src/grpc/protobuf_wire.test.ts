import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { seededRandom } from '../../test/support/doubles/seeded_random.ts';
import { BackwardsWriter, MalformedMessage, varintSize, WireReader, writeVarint } from './protobuf_wire.ts';

/** Both sides of every size, and what no 32-bit operation gets right. */
const numbers = [0, 1, 127, 300];
for (let bits = 7; bits <= 53; bits++) numbers.push(2 ** bits - 1, Math.min(2 ** bits, Number.MAX_SAFE_INTEGER));
const random = seededRandom(1);
for (let i = 0; i < 500; i++) numbers.push(Math.floor(2 ** random.below(53) * (1 + random.below(1 << 20) / (1 << 20))));

test('varints are written as the library writes them', () => {
  for (const number of numbers) {
    const expected = new BinaryWriter().uint64(BigInt(number)).finish();
    const buffer = Buffer.alloc(12, 0xee);
    assert.equal(varintSize(number), expected.length, `${number}`);
    assert.equal(writeVarint(buffer, 1, number), 1 + expected.length);
    assert.deepEqual(buffer.subarray(1, 1 + expected.length), Buffer.from(expected));
    assert.equal(buffer[0], 0xee);
    assert.equal(buffer[1 + expected.length], 0xee);
  }
});

test('varints are read exactly, alone and with zero groups behind them', () => {
  const reader = new WireReader();
  for (const number of numbers) {
    const bytes = Buffer.from(new BinaryWriter().tag(1, WireType.Varint).uint64(BigInt(number)).finish());
    reader.reset(bytes, 0, bytes.length);
    assert.equal(reader.next(), true);
    assert.equal(reader.varint, number);
    assert.equal(reader.next(), false);
  }
  const padded = Buffer.from([0x08, 0x85, 0x80, 0x80, 0x00]);
  reader.reset(padded, 0, padded.length).next();
  assert.equal(reader.varint, 5);
});

test('fields of all kinds are found, only within the bounds', () => {
  const bytes = new BinaryWriter()
    .tag(1, WireType.Varint)
    .uint32(7)
    .tag(2, WireType.Bit64)
    .fixed64(1n)
    .tag(3000, WireType.LengthDelimited)
    .string('für')
    .tag(4, WireType.Bit32)
    .fixed32(1)
    .finish();
  const buffer = Buffer.concat([Buffer.of(0xff), bytes, Buffer.of(0xff)]);
  const reader = new WireReader().reset(buffer, 1, 1 + bytes.length);
  const seen: [number, number][] = [];
  while (reader.next()) {
    seen.push([reader.field, reader.wireType]);
    if (reader.field === 3000) {
      assert.equal(reader.text(), 'für');
      assert.deepEqual(reader.value(), Buffer.from('für'));
    }
  }
  assert.deepEqual(seen, [
    [1, 0],
    [2, 1],
    [3000, 2],
    [4, 5],
  ]);
});

test('malformed bytes are refused', () => {
  const malformed: Record<string, string> = {
    'a tag that breaks off': '80',
    'no value': '08',
    'a varint that breaks off': '08ff',
    'a varint of eleven bytes': '08ffffffffffffffffffff01',
    'field number 0': '0001',
    'a length beyond the end': '0a0261',
    'a huge length': '0affffffffffffffff7f',
    'a negative length': '0affffffffffffffffff01',
    'three bytes of four': '0d000000',
    'seven bytes of eight': '0900000000000000',
    'a group': '0b0c',
    'wire type 6': '0e',
    'wire type 7': '0f',
  };
  for (const [what, hex] of Object.entries(malformed)) {
    const bytes = Buffer.from(hex, 'hex');
    const reader = new WireReader().reset(bytes, 0, bytes.length);
    assert.throws(() => reader.next(), MalformedMessage, what);
  }
});

test('whatever the bytes, reading ends: at the end or with MalformedMessage, and as the library sees them', () => {
  const chance = seededRandom(4);
  let good = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = chance.bytes(chance.below(24));
    // Small first bytes are likelier to be tags, lengths and the like.
    if (chance.below(2) === 0) for (let at = 0; at < bytes.length; at++) bytes[at]! &= 0x1f;
    const fields = readAll(bytes);
    if (fields === undefined) continue;
    good++;
    assert.deepEqual(fields, readAllWithLibrary(bytes), bytes.toString('hex'));
  }
  assert.ok(good > 1000, `${good} messages were well-formed`);
});

function readAll(bytes: Buffer): string[] | undefined {
  const reader = new WireReader().reset(bytes, 0, bytes.length);
  const fields: string[] = [];
  try {
    while (reader.next()) fields.push(`${reader.field}:${reader.wireType}`);
  } catch (error) {
    assert.ok(error instanceof MalformedMessage, String(error));
    return undefined;
  }
  return fields.some((field) => Number(field.split(':')[0]) >= 1 << 28) ? undefined : fields;
}

function readAllWithLibrary(bytes: Buffer): string[] {
  const reader = new BinaryReader(bytes);
  const fields: string[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    fields.push(`${field}:${wireType}`);
    reader.skip(wireType, field);
  }
  return fields;
}

test('what is written backwards reads forwards', () => {
  const writer = new BackwardsWriter();
  for (let round = 0; round < 2; round++) {
    writer.start();
    writer.field(0x1a, Buffer.from([1, 2, 3]));
    const inner = writer.written;
    writer.textField(0x12, 'wörld');
    writer.varint(300);
    writer.byte(0x08);
    writer.wrap(0x0a, inner);
    writer.wrap(0x22, 0);
    const nested = new BinaryWriter()
      .tag(4, WireType.LengthDelimited)
      .fork()
      .tag(1, WireType.LengthDelimited)
      .fork()
      .tag(1, WireType.Varint)
      .uint32(300)
      .tag(2, WireType.LengthDelimited)
      .string('wörld')
      .join()
      .tag(3, WireType.LengthDelimited)
      .bytes(Uint8Array.of(1, 2, 3))
      .join();
    assert.deepEqual(writer.finish(), Buffer.from(nested.finish()));
  }
});

test('the writer grows, and what it has handed out stays as it was', () => {
  const writer = new BackwardsWriter();
  writer.start();
  writer.field(0x0a, Buffer.from('small'));
  const small = writer.finish();
  writer.start();
  const large = seededRandom(5).bytes(100_000);
  for (let at = large.length; at > 0; at -= 1000) writer.bytes(large.subarray(at - 1000, at));
  assert.deepEqual(writer.finish(), large);
  assert.deepEqual(small, Buffer.from('\n\x05small'));
});
