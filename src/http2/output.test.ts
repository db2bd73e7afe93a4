import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame, turn, Wire } from '../../test/support/doubles/http2_peer.ts';
import { seededRandom } from '../../test/support/doubles/seeded_random.ts';
import { Output } from './output.ts';

function setUp(highWaterMark?: number) {
  const wire = new Wire(highWaterMark);
  const chunks: Buffer[] = [];
  wire.onWrite = (chunk) => void chunks.push(chunk);
  let rooms = 0;
  const output = new Output(wire, () => rooms++);
  return { wire, output, chunks, rooms: () => rooms, text: () => Buffer.concat(chunks).toString() };
}

test('what is pushed in one turn leaves in one write', async () => {
  const { wire, output, text } = setUp();
  output.bytes(Buffer.from('a'));
  output.bytes(Buffer.from('b'));
  assert.equal(wire.writes, 0);
  assert.equal(output.waitingBytes, 2);
  await turn();
  assert.equal(wire.writes, 1);
  assert.equal(text(), 'ab');
  assert.equal(output.waitingBytes, 0);
  output.bytes(Buffer.from('c'));
  await turn();
  assert.equal(wire.writes, 2);
  assert.equal(text(), 'abc');
});

test('large chunks are not copied, and leave in one write as well', async () => {
  const { wire, output, chunks } = setUp();
  const large: Buffer[] = [Buffer.alloc(9), Buffer.alloc(20_000), Buffer.alloc(20_000)];
  for (const chunk of large) output.bytes(chunk);
  await turn();
  assert.equal(wire.writes, 1);
  assert.deepEqual(
    chunks.map((chunk) => large.indexOf(chunk)),
    [0, 1, 2],
  );
});

test('`flush` sends at once, and nothing twice', async () => {
  const { wire, output, text } = setUp();
  output.bytes(Buffer.from('a'));
  output.flush();
  assert.equal(text(), 'a');
  output.flush();
  await turn();
  assert.equal(wire.writes, 1);
});

test('it is full at 64 KiB, and says when there is room', async () => {
  const { output, rooms } = setUp(1 << 20);
  output.bytes(Buffer.alloc((64 << 10) - 1));
  assert.equal(output.full, false);
  output.bytes(Buffer.alloc(1));
  assert.equal(output.full, true);
  assert.equal(rooms(), 0);
  await turn();
  assert.equal(output.full, false);
  assert.equal(rooms(), 1);
});

test('it is full while the transport is', async () => {
  const { wire, output, rooms, text } = setUp(10);
  wire.block();
  output.bytes(Buffer.alloc(11, 'x'));
  assert.equal(output.full, false);
  await turn();
  assert.equal(output.full, true);
  assert.equal(output.waitingBytes, 11);
  output.bytes(Buffer.from('small frames go on'));
  await turn();
  assert.equal(output.waitingBytes, 29);
  assert.equal(rooms(), 0);
  wire.unblock();
  await turn();
  assert.equal(output.full, false);
  assert.equal(rooms(), 1);
  assert.equal(text(), `${'x'.repeat(11)}small frames go on`);
});

test('what several chunks have filled is full as well, and empties again', async () => {
  const { wire, output, rooms } = setUp(10);
  wire.block();
  for (let i = 0; i < 5; i++) output.bytes(Buffer.alloc(20_000));
  assert.equal(output.full, true);
  await turn();
  assert.equal(output.full, true);
  assert.equal(rooms(), 0);
  wire.unblock();
  await turn();
  assert.equal(output.full, false);
  assert.equal(rooms(), 1);
});

test('a transport that has ended is not written to', async () => {
  for (const end of ['end', 'destroy'] as const) {
    const { wire, output, text } = setUp();
    wire.on('error', (error) => assert.fail(error));
    output.bytes(Buffer.from('a'));
    wire[end]();
    output.flush();
    output.bytes(Buffer.from('b'));
    await turn();
    assert.equal(text(), '');
    assert.equal(output.waitingBytes, 0);
  }
});

test('frames of all sizes are whole, wherever a turn ends', async () => {
  const { wire, output, text } = setUp(1 << 30);
  const random = seededRandom(1);
  const sizes = [0, 1, 8, 100, 2047, 2048, 2049, 16_383, 16_384];
  const expected: Buffer[] = [];
  for (let i = 0; i < 600; i++) {
    const payload = Buffer.alloc(random.below(3) === 0 ? random.below(600) : sizes[random.below(sizes.length)]!, i);
    const [type, flags, streamId] = [random.below(10), random.below(256), random.below(2) === 0 ? i : 0x7fff_ffff - i];
    if (random.below(4) === 0) {
      output.numberFrame(type, streamId, 0xffff_0000 + i);
      const number = Buffer.alloc(4);
      number.writeUInt32BE(0xffff_0000 + i);
      expected.push(frame(type, 0, streamId, number));
    } else {
      output.frame(type, flags, streamId, payload);
      expected.push(frame(type, flags, streamId, payload));
      if (payload.length <= 2048) payload.fill(0xee); // a small one was copied
    }
    if (random.below(20) === 0) output.flush();
    if (random.below(20) === 0) await turn();
    assert.ok(output.waitingBytes >= 0);
  }
  await turn();
  assert.equal(output.waitingBytes, 0);
  assert.ok(text() === Buffer.concat(expected).toString());
  assert.ok(wire.writes < 70, `${wire.writes} writes`);
});
