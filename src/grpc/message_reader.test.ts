import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { frame } from '../../test/support/doubles/grpc_frames.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { MessageReader, USUAL_MESSAGES } from './message_reader.ts';
import type { GrpcStatus } from './status.ts';

function setUp() {
  const messages: Buffer[] = [];
  const failures: GrpcStatus[] = [];
  let whenMessage: ((payload: Buffer) => void) | undefined;
  const reader = new MessageReader({
    messageRead(payload) {
      messages.push(payload);
      whenMessage?.(payload);
    },
    readFailed: (status) => failures.push(status),
  });
  return {
    reader,
    messages,
    failures,
    texts: () => messages.map((message) => message.toString()),
    onMessage: (f: (payload: Buffer) => void) => {
      whenMessage = f;
    },
  };
}

const three = Buffer.concat([
  frame(Buffer.from('one')),
  frame(Buffer.from('two, compressed'), { gzip: true }),
  frame(Buffer.alloc(0)),
  frame(Buffer.from('three')),
]);
const threeTexts = ['one', 'two, compressed', '', 'three'];

test('messages come out the same wherever the bytes are cut', () => {
  for (let cut = 0; cut <= three.length; cut++) {
    const { reader, texts, failures } = setUp();
    reader.push(three.subarray(0, cut));
    reader.push(three.subarray(cut));
    assert.deepEqual(texts(), threeTexts, `cut at ${cut}`);
    assert.deepEqual(failures, []);
    assert.equal(reader.hasRest, false);
  }
});

test('a message in thousands of crumbs, some larger, comes out as it was', () => {
  const { reader, messages } = setUp();
  const payload = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => i % 251));
  const bytes = Buffer.concat([frame(payload), frame(payload)]);
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const end = at + (i % 1000 < 700 ? 1 : 700);
    reader.push(bytes.subarray(at, end));
    at = end;
  }
  assert.deepEqual(messages, [payload, payload]);
  assert.equal(reader.hasRest, false);
});

test('messages come out as soon as their last byte is there', () => {
  const { reader, messages } = setUp();
  const counts = [...three].map((byte) => {
    reader.push(Buffer.of(byte));
    return messages.length;
  });
  const ends = [0, 1, 2, 3].map((count) => counts.indexOf(count + 1));
  const second = 5 + gzipSync('two, compressed').length;
  assert.deepEqual(ends, [7, 7 + second, 12 + second, 22 + second]);
});

test('a rest is one until the message is whole', () => {
  const { reader } = setUp();
  assert.equal(reader.hasRest, false);
  reader.push(three.subarray(0, 3));
  assert.equal(reader.hasRest, true);
  reader.push(three.subarray(3, 8));
  assert.equal(reader.hasRest, false);
});

test('a pause in the middle of a chunk holds the rest of it, undecoded, and what comes later', () => {
  const { reader, texts, onMessage } = setUp();
  onMessage(() => reader.pause());
  reader.push(three);
  reader.push(frame(Buffer.from('four')));
  assert.deepEqual(texts(), ['one']);
  assert.equal(reader.hasRest, true);
  for (let n = 2; n <= 5; n++) {
    reader.resume();
    assert.deepEqual(texts(), [...threeTexts, 'four'].slice(0, n));
  }
  assert.equal(reader.hasRest, false);
});

test('a pause before the first byte holds everything', () => {
  const { reader, texts } = setUp();
  reader.pause();
  reader.push(three);
  assert.deepEqual(texts(), []);
  reader.resume();
  assert.deepEqual(texts(), threeTexts);
});

test('pausing and resuming while a message is handled changes nothing', () => {
  const { reader, texts, onMessage } = setUp();
  onMessage(() => {
    reader.pause();
    reader.resume();
  });
  reader.push(three);
  assert.deepEqual(texts(), threeTexts);
});

test('what is pushed while a message is handled comes behind the rest of its chunk', () => {
  for (let handled = 0; handled < 4; handled++) {
    const { reader, messages, texts, onMessage } = setUp();
    onMessage(() => {
      if (messages.length === handled + 1) reader.push(frame(Buffer.from('pushed')));
    });
    reader.push(three);
    assert.deepEqual(texts(), [...threeTexts, 'pushed'], `pushed by the handler of message ${handled}`);
  }
});

test('nothing comes after stop, not even from the chunk being read', () => {
  const { reader, texts, onMessage } = setUp();
  onMessage(() => reader.stop());
  reader.push(three);
  reader.push(three);
  reader.resume();
  assert.deepEqual(texts(), ['one']);
  assert.equal(reader.hasRest, false);
});

test('the largest message passes, one byte more is refused by its length alone', () => {
  const largest = setUp();
  largest.reader.push(frame(Buffer.alloc(USUAL_MESSAGES.maxBytes)));
  assert.equal(largest.messages[0]?.length, USUAL_MESSAGES.maxBytes);

  for (const flag of [0, 1]) {
    const { reader, failures } = setUp();
    const prefix = Buffer.from([flag, 0, 0, 0, 0]);
    prefix.writeUInt32BE(USUAL_MESSAGES.maxBytes + 1, 1);
    reader.push(prefix);
    reader.push(three);
    assert.deepEqual(failures, [
      {
        code: StatusCode.ResourceExhausted,
        message: 'grpc: received message larger than max (4194305 vs. 4194304)',
      },
    ]);
  }
});

test('a failure comes once, and no message after it', () => {
  const { reader, texts, failures } = setUp();
  reader.push(Buffer.concat([frame(Buffer.from('one')), Buffer.from([2, 0, 0, 0, 1, 0]), three]));
  reader.push(three);
  assert.deepEqual(texts(), ['one']);
  assert.deepEqual(failures, [{ code: StatusCode.Internal, message: 'grpc: received unexpected payload format 2' }]);
});

test('a compressed message may be empty, in either way to be so', () => {
  const { reader, texts, failures } = setUp();
  reader.push(Buffer.concat([frame(Buffer.alloc(0), { gzip: true }), Buffer.from([1, 0, 0, 0, 0])]));
  assert.deepEqual(texts(), ['', '']);
  assert.deepEqual(failures, []);
});

test('a bomb is refused, and so is what is no gzip', () => {
  const { ResourceExhausted, Internal } = StatusCode;
  const decompress = 'grpc: failed to decompress the received message:';
  const cases: [Buffer, StatusCode, string][] = [
    [
      gzipSync(Buffer.alloc(USUAL_MESSAGES.maxBytes + 1)),
      ResourceExhausted,
      'grpc: received message after decompression larger than max (4194305 vs. 4194304)',
    ],
    [Buffer.from('this is no gzip data at all'), Internal, `${decompress} gzip: invalid header`],
    [Buffer.from('short'), Internal, `${decompress} unexpected EOF`],
  ];
  for (const [data, code, message] of cases) {
    const { reader, messages, failures } = setUp();
    const prefix = Buffer.from([1, 0, 0, 0, 0]);
    prefix.writeUInt32BE(data.length, 1);
    reader.push(Buffer.concat([prefix, data]));
    assert.deepEqual(messages, []);
    assert.deepEqual(failures, [{ code, message }]);
  }
});

test('nothing is inflated where compression was not announced', () => {
  const failures: GrpcStatus[] = [];
  const messages: string[] = [];
  const handler = {
    messageRead: (payload: Buffer) => messages.push(String(payload)),
    readFailed: (status: GrpcStatus) => failures.push(status),
  };
  new MessageReader(handler, USUAL_MESSAGES, false).push(three);
  assert.deepEqual(messages, ['one']);
  const message = 'grpc: compressed flag set with identity or empty encoding';
  assert.deepEqual(failures, [{ code: StatusCode.Internal, message }]);
});

test('a message in many small parts is joined once', () => {
  const { reader, messages } = setUp();
  const payload = Buffer.alloc(USUAL_MESSAGES.maxBytes, 'x');
  const bytes = frame(payload);
  const { concat } = Buffer;
  let copied = 0;
  Buffer.concat = (list, length) => {
    const joined = concat.call(Buffer, list, length) as Buffer<ArrayBuffer>;
    copied += joined.length;
    return joined;
  };
  try {
    for (let at = 0; at < bytes.length; at += 1024) reader.push(bytes.subarray(at, at + 1024));
  } finally {
    Buffer.concat = concat;
  }
  assert.deepEqual(messages, [payload]);
  assert.ok(copied <= 2 * bytes.length, `${copied} bytes were copied`);
});

test('many messages in one chunk are read in a loop, not by recursion', () => {
  const { reader, messages } = setUp();
  reader.pause();
  for (let i = 0; i < 50_000; i++) reader.push(frame(Buffer.of(i & 255)));
  reader.resume();
  assert.equal(messages.length, 50_000);
});

test('from where it is told to, a reader passes the bytes on as they come', () => {
  for (let cut = 0; cut <= three.length; cut++) {
    const { reader, texts, failures, onMessage } = setUp();
    const passed: Buffer[] = [];
    onMessage(() => reader.passThrough((bytes) => passed.push(bytes)));
    reader.push(three.subarray(0, cut));
    reader.push(three.subarray(cut));
    assert.deepEqual(texts(), ['one'], `cut at ${cut}`);
    assert.deepEqual(Buffer.concat(passed), three.subarray(8), `cut at ${cut}`);
    assert.deepEqual(failures, []);
    assert.equal(reader.hasRest, false);
  }
});

test('a pause holds back what would be passed on', () => {
  const { reader, onMessage } = setUp();
  const passed: Buffer[] = [];
  onMessage(() => {
    reader.passThrough((bytes) => passed.push(bytes));
    reader.pause();
  });
  reader.push(three.subarray(0, 20));
  reader.push(three.subarray(20));
  assert.deepEqual(passed, []);
  reader.resume();
  assert.deepEqual(Buffer.concat(passed), three.subarray(8));
});

test('a limit of one’s own holds before and after decompression, and each message beyond is told of', () => {
  let exceeded = 0;
  const failures: GrpcStatus[] = [];
  const handler = { messageRead: () => {}, readFailed: (status: GrpcStatus) => failures.push(status) };
  const read = (bytes: Buffer) => new MessageReader(handler, { maxBytes: 100, exceeded: () => exceeded++ }).push(bytes);
  read(frame(Buffer.alloc(100)));
  assert.equal(exceeded, 0);
  read(frame(Buffer.alloc(101)));
  const zipped = frame(gzipSync(Buffer.alloc(101)));
  zipped[0] = 1;
  read(zipped);
  assert.equal(exceeded, 2);
  assert.deepEqual(
    failures.map(({ code }) => code),
    [StatusCode.ResourceExhausted, StatusCode.ResourceExhausted],
  );
});

test('a smaller limit holds as long as it is set, and whoever exceeds the one for all hears of that', () => {
  const told: string[] = [];
  const failures: string[] = [];
  const handler = {
    messageRead: (payload: Buffer) => told.push(`read ${payload.length}`),
    readFailed: ({ message }: GrpcStatus) => failures.push(message),
  };
  const all = { maxBytes: 100, exceeded: () => told.push('all') };
  const smaller = { maxBytes: 50, exceeded: () => told.push('smaller') };
  const zipped = (bytes: number) => {
    const bytesOf = frame(gzipSync(Buffer.alloc(bytes)));
    bytesOf[0] = 1;
    return bytesOf;
  };
  for (const bytes of [frame(Buffer.alloc(51)), frame(Buffer.alloc(101)), zipped(51), zipped(101)]) {
    const reader = new MessageReader(handler, all);
    reader.smallerLimit = smaller;
    reader.push(bytes);
  }
  const reader = new MessageReader(handler, all);
  reader.smallerLimit = smaller;
  reader.push(frame(Buffer.alloc(50)));
  reader.smallerLimit = undefined;
  reader.push(frame(Buffer.alloc(100)));
  assert.deepEqual(told, ['smaller', 'all', 'smaller', 'all', 'read 50', 'read 100']);
  assert.deepEqual(failures, [
    'grpc: received message larger than max (51 vs. 50)',
    'grpc: received message larger than max (101 vs. 100)',
    'grpc: received message after decompression larger than max (51 vs. 50)',
    'grpc: received message after decompression larger than max (101 vs. 100)',
  ]);
});

test('what is too large after decompression is refused with the size that it announces, or what is too much of it', () => {
  const failures: GrpcStatus[] = [];
  const handler = { messageRead: () => {}, readFailed: (status: GrpcStatus) => failures.push(status) };
  const read = (zipped: Buffer) => {
    const prefix = Buffer.from([1, 0, 0, 0, zipped.length]);
    new MessageReader(handler, { maxBytes: 100, exceeded: () => {} }).push(Buffer.concat([prefix, zipped]));
  };
  const honest = gzipSync(Buffer.alloc(5000));
  read(honest);
  read(Buffer.concat([honest, gzipSync(Buffer.alloc(3))])); // the last member announces three bytes
  assert.deepEqual(
    failures.map(({ message }) => message),
    [
      'grpc: received message after decompression larger than max (5000 vs. 100)',
      'grpc: received message after decompression larger than max (101 vs. 100)',
    ],
  );
});
