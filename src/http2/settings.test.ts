import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settings } from '../../test/support/doubles/http2_peer.ts';
import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { newPeerSettings, readSettings, settingsPayload } from './settings.ts';

const payload = (...pairs: [id: number, value: number][]) => settings(...pairs).subarray(9);
const code = (code: number) => (error: unknown) => error instanceof ConnectionError && error.code === code;

test('what a peer has not said is as RFC 9113 has it', () => {
  const peer = newPeerSettings();
  readSettings(payload(), peer);
  assert.deepEqual(peer, { headerTableBytes: 4096, maxConcurrentStreams: Infinity, initialWindowBytes: 65_535 });
});

test('what it says is read; the last counts, and what we do not know is nothing', () => {
  const peer = newPeerSettings();
  readSettings(payload([1, 100], [3, 7], [4, 0], [5, 16_384], [6, 1], [8, 1], [0xffff, 0xffff_ffff], [3, 8]), peer);
  assert.deepEqual(peer, { headerTableBytes: 100, maxConcurrentStreams: 8, initialWindowBytes: 0 });
  readSettings(payload([4, 0x7fff_ffff], [5, 16_777_215], [2, 0], [2, 1]), peer);
  assert.equal(peer.initialWindowBytes, 0x7fff_ffff);
  assert.equal(peer.maxConcurrentStreams, 8);
});

for (const [what, pair, expected] of [
  ['a window of 2^31', [4, 0x8000_0000], ErrorCode.FlowControlError],
  ['a push that is neither', [2, 2], ErrorCode.ProtocolError],
  ['frames that are too small', [5, 16_383], ErrorCode.ProtocolError],
  ['frames that are too large', [5, 16_777_216], ErrorCode.ProtocolError],
] as [string, [number, number], number][]) {
  test(`${what} ends the connection`, () => {
    assert.throws(() => readSettings(payload(pair), newPeerSettings()), code(expected));
  });
}

test('half a setting ends the connection', () => {
  assert.throws(() => readSettings(Buffer.alloc(7), newPeerSettings()), code(ErrorCode.FrameSizeError));
});

test('ours say what is given', () => {
  const all = { enablePush: false, maxConcurrentStreams: 7, initialWindowBytes: 8, maxHeaderListBytes: 9 } as const;
  assert.deepEqual(settingsPayload(all), payload([2, 0], [3, 7], [4, 8], [6, 9]));
  assert.deepEqual(settingsPayload({ initialWindowBytes: 0 }), payload([4, 0]));
});
