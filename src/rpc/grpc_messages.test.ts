import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Code } from '@connectrpc/connect';
import { frame } from '../../test/support/doubles/grpc_frames.ts';
import { pulledSource } from '../../test/support/doubles/pulled_source.ts';
import { GrpcMessages } from './grpc_messages.ts';

const plain = frame(Buffer.from('one'));
const zipped = frame(Buffer.from('two'), { gzip: true });

function setUp(pieces: readonly Buffer[], more: { compressed?: boolean; maxBytes?: number } = {}) {
  const pulled = pulledSource(pieces);
  const { source } = pulled;
  const state = Object.assign(pulled.state, { exceeded: 0 });
  const limit = { maxBytes: more.maxBytes ?? 100, exceeded: () => void state.exceeded++ };
  return { state, messages: new GrpcMessages(source(), limit, more.compressed ?? true) };
}

async function whole(messages: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of messages) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('messages come out uncompressed, wherever the bytes are cut', async () => {
  const bytes = Buffer.concat([plain, zipped, frame(Buffer.alloc(0)), plain]);
  const expected = Buffer.concat([plain, frame(Buffer.from('two')), frame(Buffer.alloc(0)), plain]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const { messages } = setUp([bytes.subarray(0, cut), bytes.subarray(cut)]);
    assert.deepEqual(await whole(messages), expected, `cut at ${cut}`);
  }
});

test('no message is inflated before it is asked for', async () => {
  const tooLarge = frame(Buffer.alloc(101), { gzip: true });
  const { state, messages } = setUp([Buffer.concat([zipped, tooLarge]), plain]);
  await messages.next();
  assert.deepEqual([state.exceeded, state.asked], [0, 1]);
  await assert.rejects(messages.next());
  assert.deepEqual([state.exceeded, state.asked], [1, 1]);
});

test('what is no message is refused with its status, after the messages before it', async () => {
  const cases: [Buffer, boolean, Code, string, number][] = [
    [zipped, false, Code.Internal, 'grpc: compressed flag set with identity or empty encoding', 0],
    [Buffer.from([2, 0, 0, 0, 0]), true, Code.Internal, 'grpc: received unexpected payload format 2', 0],
    [
      Buffer.from([1, 0, 0, 0, 3, 1, 2, 3]),
      true,
      Code.Internal,
      'grpc: failed to decompress the received message: unexpected EOF',
      0,
    ],
    [plain.subarray(0, 7), true, Code.Internal, 'unexpected EOF', 0],
    [plain.subarray(0, 2), true, Code.Internal, 'unexpected EOF', 0],
    [frame(Buffer.alloc(101)), true, Code.ResourceExhausted, 'grpc: received message larger than max (101 vs. 100)', 1],
    [
      frame(Buffer.alloc(500), { gzip: true }),
      true,
      Code.ResourceExhausted,
      'grpc: received message after decompression larger than max (500 vs. 100)',
      1,
    ],
  ];
  for (const [bytes, compressed, code, rawMessage, exceeded] of cases) {
    const { state, messages } = setUp([Buffer.concat([plain, bytes])], { compressed });
    assert.deepEqual(Buffer.from((await messages.next()).value), plain);
    await assert.rejects(messages.next(), { code, rawMessage });
    await assert.rejects(messages.next(), { code, rawMessage }, 'again');
    assert.equal(state.exceeded, exceeded);
  }
});

test('who stops reading stops the source', async () => {
  const { state, messages } = setUp([Buffer.concat([plain, plain]), gzipSync('')]);
  for await (const _ of messages) break;
  assert.equal(state.returned, true);
});
