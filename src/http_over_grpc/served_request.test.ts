import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { frame, payloadsOf } from '../../test/support/doubles/grpc_frames.ts';
import { playedCall } from '../../test/support/doubles/server_call.ts';
import { recordingLog } from '../../test/support/recording_log.ts';
import { HttpRequestSchema, HttpResponseSchema } from '../gen/gitlab/agent/grpctool/grpctool_pb.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { type HttpAnswer, ServedRequest } from './served_request.ts';

type Part = NonNullable<MessageInitShape<typeof HttpRequestSchema>['message']>;

const header = (contentLength?: bigint): Part => ({
  case: 'header',
  value: {
    request: { method: 'POST', urlPath: '/' },
    ...(contentLength !== undefined && { contentLength }),
  },
});
const data = (bytes: Uint8Array): Part => ({ case: 'data', value: { data: bytes } });
const trailer: Part = { case: 'trailer', value: {} };
const STALLED = '4 gRPC -> HTTP: nothing has moved for 60 s';

/** A body that gives what the test pushes. */
const openBody = () => new Readable({ read() {} });

function setUp(answer: (body: Buffer | Readable | undefined) => Promise<HttpAnswer>) {
  const played = playedCall();
  const { log, lines } = recordingLog();
  const made: { body: Buffer | Readable | undefined; signal: AbortSignal }[] = [];
  const make = (body: Buffer | Readable | undefined, signal: AbortSignal) => {
    made.push({ body, signal });
    return answer(body);
  };
  new ServedRequest(played.call, () => make, log).start();
  const sends = async (...parts: Part[]) => {
    for (const message of parts) {
      played.stream.receive(frame(toBinary(HttpRequestSchema, create(HttpRequestSchema, { message }))));
    }
    await settled();
  };
  const answered = () =>
    payloadsOf(played.stream.written).map((payload) => fromBinary(HttpResponseSchema, payload).message);
  return { ...played, made, lines, sends, answered };
}

async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await nextTurn();
}

const never = () => new Promise<HttpAnswer>(() => {});
const answerWith = (body: Readable) => () =>
  Promise.resolve({ status: 200, headers: [['A', ['b', 'c']]] as const, body });

test('a small body is gathered until it is complete', async () => {
  const { sends, made } = setUp(never);
  await sends(header(), data(Buffer.from('ab')), data(Buffer.from('c')));
  assert.equal(made.length, 0);
  await sends(trailer);
  assert.deepEqual(made[0]?.body, Buffer.from('abc'));
});

test('no body is none, whether the header says so or not', async () => {
  for (const contentLength of [undefined, 0n, -1n]) {
    const { sends, made } = setUp(never);
    await sends(header(contentLength), trailer);
    assert.equal(made.length, 1);
    assert.equal(made[0]?.body, undefined);
  }
});

test('a large body is passed on, no faster than it is read', async () => {
  const { sends, made, stream, session } = setUp(never);
  const piece = Buffer.alloc(40 << 10, 'x');
  await sends(header(), data(piece), data(piece));
  const body = made[0]?.body;
  assert.ok(body instanceof Readable);
  assert.equal(stream.paused, true);
  assert.equal(session.busyStreams, 1);
  let read = 0;
  body.on('data', (chunk: Buffer) => {
    read += chunk.length;
  });
  await settled();
  await sends(data(piece), trailer);
  assert.equal(read, 3 * piece.length);
  assert.equal(body.readableEnded, true);
});

test('the answer goes out as it comes, in pieces of 32 KiB at the most', async () => {
  const body = openBody();
  const { sends, answered, status } = setUp(answerWith(body));
  await sends(header(), trailer);
  const [first] = answered();
  assert.ok(first?.case === 'header');
  const { statusCode, status: text, header: headers } = first.value.response ?? {};
  assert.deepEqual([statusCode, text, headers?.A?.value], [200, '200 OK', ['b', 'c']]);
  body.push(Buffer.alloc(70_000));
  await settled();
  const sizes = answered().map((part) => (part.case === 'data' ? part.value.data.length : part.case));
  assert.deepEqual(sizes, ['header', 32768, 32768, 4464]);
  assert.equal(status(), undefined);
  body.push(null);
  await settled();
  assert.equal(answered().at(-1)?.case, 'trailer');
  assert.match(String(status()), /^0 /);
});

test('a client that does not read holds the answer back', async () => {
  const body = openBody();
  const { sends, stream } = setUp(answerWith(body));
  await sends(header(), trailer);
  stream.ready = false;
  body.push(Buffer.alloc(10));
  await settled();
  assert.equal(body.isPaused(), true);
  stream.ready = true;
  stream.drain();
  assert.equal(body.isPaused(), false);
});

test('whoever lets the other wait for a minute in a body ends the call', async () => {
  const silent = setUp(never);
  await silent.sends(header());
  silent.clock.advance(59_999);
  await silent.sends(data(Buffer.from('x')));
  silent.clock.advance(59_999);
  assert.equal(silent.status(), undefined);
  silent.clock.advance(1);
  assert.equal(silent.status(), STALLED);

  const mute = setUp(never);
  mute.clock.advance(60_000);
  assert.equal(mute.status(), STALLED);

  const unread = setUp(never);
  await unread.sends(header(), data(Buffer.alloc(70_000)));
  unread.clock.advance(60_000);
  assert.equal(unread.status(), STALLED);
  assert.equal(unread.made[0]?.signal.aborted, true);
  assert.equal(unread.session.busyStreams, 0);

  const body = openBody();
  const slow = setUp(answerWith(body));
  await slow.sends(header(), trailer);
  slow.clock.advance(59_999);
  body.push('x');
  await settled();
  slow.clock.advance(59_999);
  assert.equal(slow.status(), undefined);
  slow.clock.advance(1);
  assert.equal(slow.status(), STALLED);
});

test('while the answer is made nobody is late', async () => {
  const { sends, clock, status } = setUp(never);
  await sends(header(), trailer);
  clock.advance(10 * 60_000);
  assert.equal(status(), undefined);
});

test('the end of the call is the end of the request', async () => {
  const { sends, made, stream } = setUp(never);
  await sends(header(), trailer);
  assert.equal(made[0]?.signal.aborted, false);
  stream.lose();
  assert.equal(made[0]?.signal.aborted, true);
});

test('an answer that comes too late is thrown away', async () => {
  const body = openBody();
  let give: (answer: HttpAnswer) => void = () => {};
  const { sends, stream } = setUp(
    () =>
      new Promise((resolve) => {
        give = resolve;
      }),
  );
  await sends(header(), trailer);
  stream.lose();
  give({ status: 200, headers: [], body });
  await settled();
  assert.equal(body.destroyed, true);
});

test('a request that cannot be made ends the call with the reason', async () => {
  const failed = setUp(() => Promise.reject(new AppError(StatusCode.Unavailable, 'no route', { hint: 'look' })));
  await failed.sends(header(), trailer);
  assert.equal(failed.status(), '14 gRPC -> HTTP: no route');
  assert.deepEqual(failed.lines, [
    { level: 'error', message: 'gRPC -> HTTP', fields: { error: 'no route', hint: 'look' } },
  ]);

  const defect = setUp(() => Promise.reject(new TypeError('oops')));
  await defect.sends(header(), trailer);
  assert.equal(defect.status(), '13 internal error');
});

test('an answer that breaks off is not complete', async () => {
  const body = openBody();
  const { sends, answered, status } = setUp(answerWith(body));
  await sends(header(), trailer);
  body.destroy(new Error('aborted'));
  await settled();
  assert.equal(answered().at(-1)?.case, 'header');
  assert.equal(status(), '1 gRPC -> HTTP: read HTTP response body: unexpected EOF');
});

test('messages that are none, or hold what they may not, are refused', async () => {
  const status = async (bytes: Uint8Array) => {
    const played = setUp(never);
    played.stream.receive(frame(bytes));
    await settled();
    return played.status();
  };
  const encoded = (message: Part) => toBinary(HttpRequestSchema, create(HttpRequestSchema, { message }));
  assert.equal(
    await status(Buffer.from('ffffff', 'hex')),
    '13 grpc: error unmarshalling request: proto: cannot parse invalid wire-format data',
  );
  assert.equal(await status(Buffer.alloc(0)), '3 invalid HttpRequest.Message: value is required');
  const embedded =
    '3 invalid HttpRequest.Header: embedded message failed validation | caused by: invalid HttpRequest_Header';
  assert.equal(await status(encoded({ case: 'header', value: {} })), `${embedded}.Request: value is required`);
  assert.equal(
    await status(encoded(header(-2n))),
    `${embedded}.ContentLength: value must be greater than or equal to -1`,
  );
});
