import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { Flag, MAX_FRAME_BYTES } from './frame.ts';
import { HeaderBlocks } from './header_blocks.ts';
import { encodeHeaders } from './hpack/encoder.ts';

const LIMIT = { bytes: 1 << 20, pairs: 100 };
const BLOCK = encodeHeaders({ a: '1', b: '2' });
const LIST = ['a', '1', 'b', '2'];
const code = (code: number) => (error: unknown) => error instanceof ConnectionError && error.code === code;

test('a block in one frame', () => {
  const blocks = new HeaderBlocks(LIMIT);
  assert.deepEqual(blocks.headers(Flag.EndHeaders, 1, BLOCK), { streamId: 1, end: false, list: LIST });
  assert.deepEqual(blocks.headers(Flag.EndHeaders | Flag.EndStream, 3, BLOCK), { streamId: 3, end: true, list: LIST });
  assert.equal(blocks.unfinished, undefined);
});

test('a block in many', () => {
  const blocks = new HeaderBlocks(LIMIT);
  const part = (from: number, to?: number) => Buffer.from(BLOCK.subarray(from, to));
  const parts = [part(0, 3), part(3, 3), part(3, 7), part(7)];
  assert.equal(blocks.headers(Flag.EndStream, 5, parts[0]!), undefined);
  assert.equal(blocks.unfinished, 5);
  for (const each of parts.slice(1, -1)) assert.equal(blocks.continuation(0, each), undefined);
  assert.deepEqual(blocks.continuation(Flag.EndHeaders, parts[3]!), { streamId: 5, end: true, list: LIST });
  assert.equal(blocks.unfinished, undefined);
});

test('padding and priority are taken off', () => {
  const blocks = new HeaderBlocks(LIMIT);
  const payload = Buffer.concat([Buffer.from([3, 0x80, 0, 0, 7, 255]), BLOCK, Buffer.alloc(3)]);
  const flags = Flag.EndHeaders | Flag.Padded | Flag.Priority;
  assert.deepEqual(blocks.headers(flags, 1, payload)?.list, LIST);
});

for (const [what, flags, payload, expected] of [
  ['padding as long as the frame', Flag.Padded, Buffer.from([4, 0, 0, 0]), ErrorCode.ProtocolError],
  ['padding without a length', Flag.Padded, Buffer.alloc(0), ErrorCode.ProtocolError],
  ['half a priority', Flag.Priority, Buffer.alloc(4), ErrorCode.FrameSizeError],
  ['a stream that depends on itself', Flag.Priority, Buffer.from([0x80, 0, 0, 1, 0]), ErrorCode.ProtocolError],
  ['a block that is none', Flag.EndHeaders, Buffer.from([0x80]), ErrorCode.CompressionError],
] as [string, number, Buffer, number][]) {
  test(`${what} ends the connection`, () => {
    assert.throws(() => new HeaderBlocks(LIMIT).headers(flags, 1, payload), code(expected));
  });
}

test('streams of clients have odd numbers', () => {
  for (const id of [0, 2]) {
    assert.throws(() => new HeaderBlocks(LIMIT).headers(Flag.EndHeaders, id, BLOCK), code(ErrorCode.ProtocolError));
  }
});

test('a continuation of nothing ends the connection', () => {
  assert.throws(() => new HeaderBlocks(LIMIT).continuation(Flag.EndHeaders, BLOCK), code(ErrorCode.ProtocolError));
});

test('a list that is too long is none, and the table goes on', () => {
  const blocks = new HeaderBlocks({ bytes: 1000, pairs: 3 });
  assert.equal(blocks.headers(Flag.EndHeaders, 1, encodeHeaders({ a: 'x'.repeat(1000) }))?.list, undefined);
  assert.equal(blocks.headers(Flag.EndHeaders, 1, encodeHeaders({ a: ['1', '2', '3', '4'] }))?.list, undefined);
  assert.deepEqual(blocks.headers(Flag.EndHeaders, 3, BLOCK)?.list, LIST);
});

test('neither bytes nor frames of a block go on for ever', () => {
  const bytes = new HeaderBlocks({ bytes: 100_000, pairs: 10 });
  const full = Buffer.alloc(MAX_FRAME_BYTES);
  bytes.headers(0, 1, full);
  for (let i = 0; i < 5; i++) bytes.continuation(0, full);
  assert.throws(() => bytes.continuation(0, full), code(ErrorCode.EnhanceYourCalm));
  const frames = new HeaderBlocks({ bytes: 100_000, pairs: 10 });
  frames.headers(0, 1, full);
  let taken = 0;
  assert.throws(() => {
    for (; ; taken++) frames.continuation(0, Buffer.alloc(0));
  }, code(ErrorCode.EnhanceYourCalm));
  assert.ok(taken >= 8 && taken < 20, `${taken} frames of nothing`);
});
