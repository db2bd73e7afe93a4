import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ANSWER,
  data,
  endsWith,
  frame,
  goAway,
  headers,
  OPTIONS,
  REQUEST,
  reset,
  serverPeer,
  settings,
  settingsAck,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import { ErrorCode } from './error_code.ts';
import { Flag, FrameType } from './frame.ts';

describe('floods', () => {
  const { burst } = OPTIONS.flood;
  let id = 1;
  const next = () => {
    id += 2;
    return id;
  };
  for (const [what, make] of [
    ['SETTINGS', () => settings()],
    ['PING', () => frame(FrameType.Ping, 0, 0, Buffer.alloc(8))],
    ['PRIORITY', () => frame(FrameType.Priority, 0, 1, Buffer.from([0, 0, 0, 9, 0]))],
    ['DATA of nothing', () => data(1)],
    ['DATA of padding', () => frame(FrameType.Data, Flag.Padded, 1, Buffer.alloc(1))],
    ['unknown frames', () => frame(77, 0, 0, Buffer.from('x'))],
    ['streams that are reset at once', () => Buffer.concat([headers(next(), REQUEST), reset(id, 8)])],
    ['requests that are malformed', () => headers(next(), {})],
    ['acknowledgements that nobody has asked for', () => settingsAck()],
    ['answers to no PING', () => frame(FrameType.Ping, Flag.Ack, 0, Buffer.alloc(8))],
    ['GOAWAY', () => goAway(0, 0)],
    // A client can make us reset its streams as well (CVE-2025-8671, "MadeYouReset").
    ['streams with a WINDOW_UPDATE of nothing', () => Buffer.concat([headers(next(), REQUEST), windowUpdate(id, 0)])],
    ['streams with too large a window', () => Buffer.concat([headers(next(), REQUEST), windowUpdate(id, 0x7fff_ffff)])],
    ['streams with DATA after the end', () => Buffer.concat([headers(next(), REQUEST, true), data(id, 'x')])],
    ['streams with HEADERS after the end', () => Buffer.concat([headers(next(), REQUEST, true), headers(id, REQUEST)])],
    ['streams with two heads', () => Buffer.concat([headers(next(), REQUEST), headers(id, REQUEST)])],
    ['streams with another length', () => headers(next(), { ...REQUEST, 'content-length': 1 }, true)],
    [
      'streams with more than the length',
      () => Buffer.concat([headers(next(), { ...REQUEST, 'content-length': 1 }), data(id, 'ab')]),
    ],
    [
      'streams with too large trailers',
      () => Buffer.concat([headers(next(), REQUEST), headers(id, { a: Array(101).fill('') }, true)]),
    ],
  ] as [string, () => Buffer][]) {
    test(`${what}: so many, and then GOAWAY`, async () => {
      const peer = await serverPeer();
      id = 1;
      await peer.send(headers(1, REQUEST));
      // One is gone: the SETTINGS of the greeting.
      for (let i = 0; i < burst - 1; i++) await peer.send(make());
      assert.equal(peer.connection.destroyed, false);
      await peer.send(make());
      await endsWith(peer, ErrorCode.EnhanceYourCalm);
    });
  }

  test('a known client that resets streams whose answers are complete may do so for ever', async () => {
    const peer = await serverPeer({}, { request: (stream) => stream.sendHeaders({ ':status': 200 }, true) });
    peer.connection.trust();
    for (let i = 0; i < 3 * burst; i++) {
      await peer.send(headers(next(), REQUEST), reset(id, 0));
      await peer.send(reset(id, 8));
    }
    assert.equal(peer.connection.destroyed, false);
  });

  test('a ping for each piece of data that the peer gets is no flood', async () => {
    const peer = await serverPeer(
      {},
      {
        request(stream) {
          stream.sendHeaders({ ':status': 200 });
          stream.write(Buffer.from('x'));
          stream.end();
        },
      },
    );
    peer.connection.trust();
    for (let i = 0; i < 3 * burst; i++) {
      await peer.send(headers(next(), REQUEST, true));
      await peer.send(frame(FrameType.Ping, 0, 0, Buffer.alloc(8)));
    }
    assert.equal(peer.connection.destroyed, false);
  });

  for (const end of [true, false]) {
    test(`answered requests of a stranger${end ? '' : ', who never ends them'}: so many, and then GOAWAY`, async () => {
      const peer = await serverPeer({}, { request: (stream) => stream.sendHeaders({ ':status': 200 }, true) });
      // One is gone: the SETTINGS of the greeting.
      for (let i = 0; i < burst - 1; i++) await peer.send(headers(next(), REQUEST, end));
      assert.equal(peer.connection.destroyed, false);
      await peer.send(headers(next(), REQUEST, end));
      await endsWith(peer, ErrorCode.EnhanceYourCalm);
    });
  }

  test('who sends one is not listened to any more, and may come back in a second', async () => {
    const peer = await serverPeer();
    for (let i = 0; i < burst; i++) await peer.send(frame(77, 0, 0));
    await endsWith(peer, ErrorCode.EnhanceYourCalm);
    assert.equal(peer.wire.isPaused(), true);
    assert.deepEqual([peer.wire.destroyed, peer.wire.writableEnded], [false, false]);
    peer.clock.advance(999);
    assert.equal(peer.wire.destroyed, false);
    peer.clock.advance(1);
    assert.equal(peer.wire.destroyed, true);
  });

  test('somebody who is known may do more', async () => {
    const peer = await serverPeer({ trustedFlood: { burst: 100, perSecond: 1 } });
    peer.connection.trust();
    for (let i = 0; i < 99; i++) await peer.send(frame(77, 0, 0));
    assert.equal(peer.connection.destroyed, false);
    await peer.send(frame(77, 0, 0));
    await endsWith(peer, ErrorCode.EnhanceYourCalm);
  });

  test('who goes on asking and does not read the answers is sent away', async () => {
    const peer = await serverPeer({ maxStreams: 1e6, flood: { burst: 1e9, perSecond: 1 } });
    peer.onRequest = (heard) => heard.stream.sendHeaders({ ...ANSWER, a: 'x'.repeat(1000) }, true);
    peer.wire.block();
    for (let i = 0; i < 20_000 && !peer.connection.destroyed; i += 100) {
      await peer.send(...Array.from({ length: 100 }, (_, j) => headers(2 * (i + j) + 1, REQUEST, true)));
    }
    assert.ok(peer.connection.destroyed);
    assert.ok(peer.wire.writableLength < 10 << 20);
  });

  test('who does not read the answers to his pings is sent away', async () => {
    const peer = await serverPeer({ flood: { burst: 1e9, perSecond: 1 } });
    peer.wire.block();
    const pings = Buffer.concat(Array(10_000).fill(frame(FrameType.Ping, 0, 0, Buffer.alloc(8))));
    for (let i = 0; i < 10 && !peer.connection.destroyed; i++) await peer.send(pings);
    assert.ok(peer.connection.destroyed);
    assert.ok(peer.wire.writableLength < 2 << 20);
  });
});
