import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Code } from '@connectrpc/connect';
import { pulledSource } from '../../test/support/doubles/pulled_source.ts';
import { connectMessage } from './connect_message.ts';

function setUp(pieces: readonly Buffer[], more: { compressed?: boolean; announced?: number } = {}) {
  const pulled = pulledSource(pieces);
  const { source } = pulled;
  const state = Object.assign(pulled.state, { exceeded: 0 });
  const limit = { maxBytes: 100, exceeded: () => void state.exceeded++ };
  const { compressed = false, announced } = more;
  return { state, message: connectMessage(source(), { limit, compressed, announced }) };
}

async function read(message: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of message) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

test('a message comes out uncompressed, wherever it is cut', async () => {
  const zipped = gzipSync('hello');
  for (let cut = 0; cut <= zipped.length; cut++) {
    const pieces = [zipped.subarray(0, cut), zipped.subarray(cut)];
    assert.equal(await read(setUp(pieces, { compressed: true }).message), 'hello');
  }
  assert.equal(await read(setUp([Buffer.from('hel'), Buffer.from('lo')], { announced: 5 }).message), 'hello');
});

test('a message of nothing is one, compressed or not', async () => {
  for (const compressed of [false, true]) assert.equal(await read(setUp([], { compressed }).message), '');
});

test('the largest message that may be passes', async () => {
  const largest = Buffer.alloc(100, 'x');
  assert.equal(await read(setUp([largest], { announced: 100 }).message), String(largest));
  assert.equal(await read(setUp([gzipSync(largest)], { compressed: true }).message), String(largest));
});

test('what is too large is refused and counted, and no more of it is read', async () => {
  const refused = { code: Code.ResourceExhausted, rawMessage: 'message size 101 is larger than 100' };
  const plain = setUp([Buffer.alloc(100), Buffer.alloc(1), Buffer.alloc(1)]);
  await assert.rejects(read(plain.message), refused);
  assert.deepEqual(plain.state, { exceeded: 1, asked: 2, returned: true });
  const announced = setUp([Buffer.alloc(1)], { announced: 101 });
  await assert.rejects(read(announced.message), refused);
  assert.deepEqual([announced.state.exceeded, announced.state.asked], [1, 0]);
  const zipped = setUp([gzipSync(Buffer.alloc(5000))], { compressed: true });
  await assert.rejects(read(zipped.message), refused);
  assert.equal(zipped.state.exceeded, 1);
});

test('what cannot be inflated is told', async () => {
  const { message, state } = setUp([Buffer.from('no gzip at all, this')], { compressed: true });
  await assert.rejects(read(message), {
    code: Code.InvalidArgument,
    rawMessage: 'the message cannot be decompressed: gzip: invalid header',
  });
  assert.equal(state.exceeded, 0);
});
