import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turn, Wire } from '../../test/support/doubles/http2_peer.ts';
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
