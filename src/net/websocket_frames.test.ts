import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeFrame, FrameReader, frameHeader, Opcode } from './websocket_frames.ts';

/** A client's frame. */
function frame(
  opcode: number,
  payload: Buffer,
  more: { final?: boolean; first?: number; masked?: boolean } = {},
): Buffer {
  const header = Buffer.from(frameHeader(opcode, payload.length));
  header[0] = more.first ?? (more.final === false ? opcode : 0x80 | opcode);
  if (more.masked === false) return Buffer.concat([header, payload]);
  header[1] = (header[1] ?? 0) | 0x80;
  const mask = Buffer.from([0xa1, 0x02, 0xff, 0x44]);
  return Buffer.concat([header, mask, Buffer.from(payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0)))]);
}

function collect(limit = 1 << 20) {
  const data: Buffer[] = [];
  const events: unknown[] = [];
  const reader = new FrameReader(
    {
      data: (payload) => data.push(Buffer.from(payload)),
      ping: (payload) => events.push(['ping', payload.toString()]),
      close: (code, reason) => events.push(['close', code, reason]),
      violation: (code, reason) => events.push(['violation', code, reason]),
    },
    limit,
  );
  return { reader, events, bytes: () => Buffer.concat(data) };
}

const numbered = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 7) & 0xff));

test('payloads of every header size come out whole, wherever the chunks are cut', () => {
  const payloads = [0, 1, 3, 125, 126, 300, 65_535, 65_536, 70_000].map(numbered);
  const stream = Buffer.concat(payloads.map((payload) => frame(Opcode.Binary, payload)));
  for (const size of [1, 2, 3, 5, 7, 13, 64, 1000, 65_536, stream.length]) {
    const { reader, bytes, events } = collect();
    for (let at = 0; at < stream.length; at += size) reader.push(Buffer.from(stream.subarray(at, at + size)));
    assert.ok(bytes().equals(Buffer.concat(payloads)), `chunks of ${size}`);
    assert.deepEqual(events, []);
  }
});

test('unmasking is right at every alignment in memory', () => {
  const payload = numbered(41);
  const bytes = frame(Opcode.Binary, payload);
  for (let offset = 0; offset < 8; offset++) {
    const memory = Buffer.alloc(64);
    bytes.copy(memory, offset);
    const { reader, bytes: read } = collect();
    reader.push(memory.subarray(offset, offset + bytes.length));
    assert.ok(read().equals(payload), `offset ${offset}`);
  }
});

test('fragments are one message, with control frames between them', () => {
  const { reader, bytes, events } = collect();
  reader.push(frame(Opcode.Binary, Buffer.from('one '), { final: false }));
  reader.push(frame(Opcode.Ping, Buffer.from('hi')));
  reader.push(frame(Opcode.Continuation, Buffer.from('two '), { final: false }));
  reader.push(frame(Opcode.Pong, Buffer.from('ignored')));
  reader.push(frame(Opcode.Continuation, Buffer.from('three')));
  reader.push(frame(Opcode.Binary, Buffer.from('!')));
  assert.equal(bytes().toString(), 'one two three!');
  assert.deepEqual(events, [['ping', 'hi']]);
});

test('a close frame is read with and without a code, and nothing after it', () => {
  const { reader, bytes, events } = collect();
  reader.push(
    Buffer.concat([frame(Opcode.Close, closeFrame(1000, 'bye').subarray(2)), frame(Opcode.Binary, Buffer.from('x'))]),
  );
  assert.deepEqual(events, [['close', 1000, 'bye']]);
  assert.equal(bytes().length, 0);
  const empty = collect();
  empty.reader.push(frame(Opcode.Close, Buffer.alloc(0)));
  assert.deepEqual(empty.events, [['close', 1005, '']]);
});

for (const [name, bytes, code] of [
  ['text', frame(Opcode.Text, Buffer.from('hello')), 1003],
  ['unmasked', frame(Opcode.Binary, Buffer.from('x'), { masked: false }), 1002],
  ['a reserved bit', frame(Opcode.Binary, Buffer.from('x'), { first: 0xc2 }), 1002],
  ['an unknown opcode', frame(3, Buffer.from('x')), 1002],
  ['an unknown control opcode', frame(11, Buffer.from('x')), 1002],
  ['a continuation of nothing', frame(Opcode.Continuation, Buffer.from('x')), 1002],
  ['a fragmented ping', frame(Opcode.Ping, Buffer.from('x'), { final: false }), 1002],
  ['a long ping', frame(Opcode.Ping, Buffer.alloc(126)), 1002],
] as const) {
  test(`a frame with ${name} breaks the protocol, once`, () => {
    const { reader, events, bytes: read } = collect();
    reader.push(Buffer.concat([bytes, bytes, frame(Opcode.Binary, Buffer.from('x'))]));
    reader.push(Buffer.from(frame(Opcode.Binary, Buffer.from('x'))));
    assert.deepEqual(
      events.map((event) => (event as unknown[]).slice(0, 2)),
      [['violation', code]],
    );
    assert.equal(read().length, 0);
  });
}

test('a new message inside a fragmented one breaks the protocol', () => {
  const { reader, events } = collect();
  reader.push(frame(Opcode.Binary, Buffer.from('x'), { final: false }));
  reader.push(frame(Opcode.Binary, Buffer.from('x')));
  assert.deepEqual(events, [['violation', 1002, 'received unexpected opcode 2']]);
});

test('a message over the limit is refused by its header, fragments counted together', () => {
  const whole = collect(1000);
  whole.reader.push(frame(Opcode.Binary, Buffer.alloc(1000)));
  whole.reader.push(frame(Opcode.Binary, Buffer.alloc(1001)));
  assert.equal(whole.bytes().length, 1000);
  assert.deepEqual(whole.events, [['violation', 1009, 'read limited at 1001 bytes']]);

  const parts = collect(1000);
  parts.reader.push(frame(Opcode.Binary, Buffer.alloc(600), { final: false }));
  parts.reader.push(frame(Opcode.Continuation, Buffer.alloc(401)));
  assert.deepEqual(parts.events, [['violation', 1009, 'read limited at 1001 bytes']]);
});

test('a close frame that would not fit is cut', () => {
  assert.equal(closeFrame(1002, 'x'.repeat(500)).length, 2 + 125);
  assert.equal(closeFrame(1005, '').toString('hex'), '8800');
});
