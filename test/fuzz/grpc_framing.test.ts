// gRPC's messages on a stream, and the gzip in them.
import assert from 'node:assert/strict';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { MessageReader } from '../../src/grpc/message_reader.ts';
import type { GrpcStatus } from '../../src/grpc/status.ts';
import { decodeGrpcMessage, encodeGrpcMessage, parseGrpcTimeout } from '../../src/grpc/status_wire.ts';
import { gunzip } from '../../src/runtime/gunzip.ts';
import { frame } from '../support/doubles/grpc_frames.ts';
import { fuzz } from './lib/fuzz.ts';
import { bytes, cut, cuts, damaged, damages } from './lib/inputs.ts';

/** All that a reader says about the bytes; it pauses after some of the messages and goes on before some of the pieces. */
function read(pieces: readonly Buffer[], pauses: readonly boolean[] = []) {
  const messages: string[] = [];
  const failures: GrpcStatus[] = [];
  let paused = false;
  const reader = new MessageReader({
    messageRead(payload) {
      assert.ok(!paused, 'a message in a pause');
      assert.equal(failures.length, 0, 'a message after the failure');
      messages.push(payload.toString('hex'));
      if (pauses[messages.length % (pauses.length || 1)] === true) {
        paused = true;
        reader.pause();
      }
    },
    readFailed: (status) => failures.push(status),
  });
  const goOn = () => {
    while (paused) {
      paused = false;
      reader.resume();
    }
  };
  for (const [i, piece] of pieces.entries()) {
    if (pauses[i % (pauses.length || 1)] !== true) goOn();
    reader.push(piece);
  }
  goOn();
  assert.ok(failures.length <= 1);
  return { messages, failures, hasRest: reader.hasRest };
}

const message = fc.record({ payload: bytes(), gzip: fc.boolean() });
const messages = fc.array(message, { maxLength: 8 });
const pauses = fc.array(fc.boolean(), { maxLength: 5 });

fuzz('valid gRPC messages come out whole', fc.tuple(messages, cuts, pauses), ([list, at, pause]) => {
  const stream = Buffer.concat(list.map(({ payload, gzip }) => frame(payload, { gzip })));
  const expected = { messages: list.map(({ payload }) => payload.toString('hex')), failures: [], hasRest: false };
  assert.deepEqual(read(cut(stream, at), pause), expected);
});

fuzz(
  'damaged gRPC messages say the same however they are cut and paused',
  fc.tuple(messages, damages(), cuts, pauses),
  ([list, damage, at, pause]) => {
    const stream = damaged(Buffer.concat(list.map(({ payload, gzip }) => frame(payload, { gzip }))), damage);
    assert.deepEqual(read(cut(stream, at), pause), read([stream]));
  },
);

fuzz(
  'gzip is inflated as zlib does, or refused',
  fc.tuple(bytes(2000), fc.integer({ min: 0, max: 9 }), damages(3), fc.integer({ min: 0, max: 3000 })),
  ([content, level, damage, limit]) => {
    const zipped = damaged(gzipSync(content, { level }), damage);
    const ours = gunzip(zipped, limit);
    if (typeof ours === 'string') {
      // Whoever sends one whole member gets it, if it is small enough.
      assert.ok(damage.length > 0 || content.length > limit, ours);
      return;
    }
    assert.ok(ours.length <= limit);
    assert.deepEqual(ours, gunzipSync(zipped));
  },
);

fuzz('a status message survives its way', fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
  const encoded = encodeGrpcMessage(text);
  assert.match(encoded, /^[ -~]*$/);
  assert.equal(decodeGrpcMessage(encoded), Buffer.from(text).toString());
});

fuzz('a status message of others is read somehow', fc.string({ maxLength: 60 }), (text) => {
  assert.equal(typeof decodeGrpcMessage(text), 'string');
});

fuzz(
  'a timeout is a time or none',
  fc.oneof(fc.stringMatching(/^\d{0,9}[HMSmunx]?$/), fc.string({ maxLength: 12 })),
  (text) => {
    const ms = parseGrpcTimeout(text);
    assert.ok(ms === undefined || (Number.isFinite(ms) && ms >= 0));
  },
);
