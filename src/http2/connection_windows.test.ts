import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ANSWER,
  data,
  FramePeer,
  frame,
  headers,
  REQUEST,
  serverPeer,
  settings,
  settingsAck,
  turn,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import { ErrorCode } from './error_code.ts';
import { CLIENT_PREFACE, Flag, FrameType } from './frame.ts';
import { encodeHeaders } from './hpack/encoder.ts';

describe('windows of the peer', () => {
  test('nothing is sent beyond that of a stream', async () => {
    const peer = new FramePeer('server');
    await peer.greet([4, 10]);
    await peer.send(headers(1, REQUEST, true));
    const { stream } = peer.streams[0]!;
    stream.sendHeaders(ANSWER);
    stream.write(Buffer.alloc(25));
    stream.end();
    assert.deepEqual(await peer.sent(), ['Headers 1 :status 200', 'Data 1 10']);
    await peer.send(windowUpdate(1, 1));
    assert.deepEqual(await peer.sent(), ['Data 1 1']);
    await peer.send(windowUpdate(1, 100));
    assert.deepEqual(await peer.sent(), ['Data 1 14 end']);
    assert.deepEqual(peer.streams[0]?.said, ['ended', 'closed 0']);
  });

  test('the end by itself needs no window', async () => {
    const peer = new FramePeer('server');
    await peer.greet([4, 0]);
    await peer.send(headers(1, REQUEST, true), headers(3, REQUEST, true));
    for (const { stream } of peer.streams) stream.sendHeaders(ANSWER);
    peer.streams[0]?.stream.end();
    peer.streams[1]?.stream.end({ t: 'x' });
    assert.deepEqual((await peer.sent()).slice(2), ['Data 1 0 end', 'Headers 3 end t x']);
  });

  test('nor beyond that of the connection, which streams share', async () => {
    const peer = await serverPeer();
    await peer.send(
      headers(1, REQUEST, true),
      headers(3, REQUEST, true),
      windowUpdate(1, 100_000),
      windowUpdate(3, 100_000),
    );
    for (const { stream } of peer.streams) {
      stream.sendHeaders(ANSWER);
      stream.write(Buffer.alloc(50_000));
      stream.end();
    }
    const sizes = async () => {
      let sum = 0;
      for (const word of await peer.sent()) sum += word.startsWith('Data') ? Number(word.split(' ')[2]) : 0;
      return sum;
    };
    assert.equal(await sizes(), 65_535);
    await peer.send(windowUpdate(0, 1));
    assert.equal(await sizes(), 1);
    await peer.send(windowUpdate(0, 100_000));
    assert.equal(await sizes(), 100_000 - 65_536);
    assert.equal(peer.connection.openStreams, 0);
  });

  test('SETTINGS change those of all streams, below zero as well', async () => {
    const peer = new FramePeer('server');
    await peer.greet([4, 100]);
    await peer.send(headers(1, REQUEST, true));
    const { stream } = peer.streams[0]!;
    stream.sendHeaders(ANSWER);
    stream.write(Buffer.alloc(100));
    stream.write(Buffer.alloc(100));
    assert.deepEqual(await peer.sent(), ['Headers 1 :status 200', 'Data 1 100']);
    await peer.send(settings([4, 40])); // -60 now
    await peer.send(windowUpdate(1, 60));
    assert.deepEqual(await peer.sent(), ['Settings ack']);
    await peer.send(windowUpdate(1, 1));
    assert.deepEqual(await peer.sent(), ['Data 1 1']);
    await peer.send(settings([4, 1000]));
    assert.deepEqual(await peer.sent(), ['Settings ack', 'Data 1 99']);
  });

  test('a body in windows of one byte', async () => {
    const peer = new FramePeer('server');
    await peer.greet([4, 0]);
    await peer.send(headers(1, REQUEST, true));
    const { stream } = peer.streams[0]!;
    stream.sendHeaders(ANSWER);
    stream.write(Buffer.from('abc'));
    stream.end({ t: 'x' });
    await peer.sent();
    for (let i = 0; i < 3; i++) await peer.send(windowUpdate(1, 1));
    assert.deepEqual(await peer.sent(), ['Data 1 1', 'Data 1 1', 'Data 1 1', 'Headers 1 end t x']);
  });

  test('streams take turns', async () => {
    const peer = new FramePeer('server');
    await peer.greet([4, 1 << 20]);
    await peer.send(headers(1, REQUEST, true), headers(3, REQUEST, true));
    for (const { stream } of peer.streams) {
      stream.sendHeaders(ANSWER);
      stream.write(Buffer.alloc(300_000));
      stream.end();
    }
    await peer.send(windowUpdate(0, 600_000));
    for (let i = 0; i < 30; i++) await turn();
    const ids = peer.frames.filter(({ type }) => type === FrameType.Data).map(({ streamId }) => streamId);
    assert.equal(peer.connection.openStreams, 0);
    const changes = ids.filter((id, i) => i > 0 && id !== ids[i - 1]).length;
    assert.ok(changes > 3, `${changes} turns: ${ids}`);
  });
});

describe('our windows', () => {
  test('more than the window of a stream is an error of the stream', async () => {
    const peer = await serverPeer({ streamWindowBytes: 100 });
    peer.onRequest = (heard) => void heard.stream.open(heard); // and reads nothing
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(100)));
    assert.deepEqual(await peer.sent(), []);
    await peer.send(data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['RstStream 1 3']);
  });

  test('before our SETTINGS are acknowledged a stream may have 65,535 bytes', async () => {
    const peer = new FramePeer('server', { streamWindowBytes: 100 });
    peer.onRequest = (heard) => void heard.stream.open(heard);
    await peer.send(CLIENT_PREFACE, settings(), headers(1, REQUEST), ...Array(4).fill(data(1, Buffer.alloc(16_000))));
    await peer.sent();
    await peer.send(settingsAck(), data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['RstStream 1 3']);
  });

  test('more than the window of the connection ends it', async () => {
    const peer = await serverPeer({ connectionWindowBytes: 65_535, streamWindowBytes: 1 << 20 });
    peer.onRequest = () => {};
    // Half of it is given back as soon as it has come.
    await peer.send(headers(1, REQUEST), ...Array(10).fill(data(1, Buffer.alloc(16_384))));
    const given = (await peer.sent()).filter((word) => word.startsWith('WindowUpdate 0'));
    assert.equal(given.length, 5);
    await peer.send(frame(FrameType.Headers, Flag.EndHeaders, 3, encodeHeaders(REQUEST)));
    assert.equal(peer.connection.destroyed, false);
  });

  test('what was read is given back, half a window at a time', async () => {
    const peer = await serverPeer({ streamWindowBytes: 10_000 });
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(4999)));
    assert.deepEqual(await peer.sent(), []);
    await peer.send(data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 5000']);
  });

  test('padding is given back like what was read', async () => {
    const peer = await serverPeer({ streamWindowBytes: 100 });
    await peer.send(headers(1, REQUEST));
    const padded = frame(FrameType.Data, Flag.Padded, 1, Buffer.from('\x03a\0\0\0'));
    for (let i = 0; i < 25; i++) await peer.send(padded);
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 50', 'WindowUpdate 1 50']);
  });

  test('what nobody reads is not', async () => {
    const peer = await serverPeer({ streamWindowBytes: 10_000 });
    peer.onRequest = (heard) => void heard.stream.open(heard);
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(10_000)));
    assert.deepEqual(await peer.sent(), []);
    peer.streams[0]?.stream.resume();
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 10000']);
  });

  test('stalled streams do not use up the connection’s, up to a bound', async () => {
    const options = { connectionWindowBytes: 65_535, heldBytes: { stranger: 70_000, known: 140_000 } };
    const peer = await serverPeer({ ...options, streamWindowBytes: 1 << 20 });
    peer.onRequest = (heard) => heard.stream.open(heard);
    await peer.send(headers(1, REQUEST), headers(3, REQUEST));
    const given = async (n: number) => {
      for (let i = 0; i < n; i++) await peer.send(data(i % 2 ? 1 : 3, Buffer.alloc(16_384)));
      return (await peer.sent()).filter((word) => word.startsWith('WindowUpdate 0')).length;
    };
    assert.equal(await given(4), 2);
    assert.equal(await given(2), 0);
    peer.connection.trust();
    assert.deepEqual(await peer.sent(), ['WindowUpdate 0 32768']);
    assert.equal(await given(2), 1);
    assert.equal(await given(3), 0);
    peer.streams[0]?.stream.resume();
    assert.ok((await peer.sent()).includes('WindowUpdate 0 49152'));
    assert.equal(await given(2), 1);
    peer.connection.destroy();
  });

  test('what waits in a stream that is reset waits no longer', async () => {
    const options = { connectionWindowBytes: 65_535, heldBytes: { stranger: 10_000, known: 10_000 } };
    const peer = await serverPeer({ ...options, streamWindowBytes: 1 << 20 });
    peer.onRequest = (heard) => heard.stream.open(heard);
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(16_384)), data(1, Buffer.alloc(16_384)));
    assert.deepEqual(await peer.sent(), []);
    peer.streams[0]?.stream.reset(ErrorCode.Cancel);
    assert.deepEqual((await peer.sent()).toSorted(), ['RstStream 1 8', 'WindowUpdate 0 32768']);
  });

  test('another window is told, and counts when the peer knows', async () => {
    const peer = await serverPeer({ streamWindowBytes: 100 });
    peer.onRequest = (heard) => void heard.stream.open(heard);
    await peer.send(headers(1, REQUEST));
    let applied = 0;
    peer.connection.setStreamWindow(200, () => applied++);
    assert.deepEqual(await peer.sent(), ['Settings']);
    await peer.send(data(1, Buffer.alloc(100)));
    assert.equal(applied, 0);
    await peer.send(settingsAck(), data(1, Buffer.alloc(100)));
    assert.equal(applied, 1);
    assert.deepEqual(await peer.sent(), []);
    await peer.send(data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['RstStream 1 3']);
  });

  test('a smaller one is below zero until enough was read', async () => {
    const peer = await serverPeer({ streamWindowBytes: 1000 });
    peer.onRequest = (heard) => void heard.stream.open(heard);
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(800)));
    peer.connection.setStreamWindow(300, () => {});
    await peer.send(settingsAck());
    await peer.sent();
    peer.streams[0]?.stream.resume();
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 800']);
    await peer.send(data(1, Buffer.alloc(149)), data(1, Buffer.alloc(150)));
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 299']);
    assert.equal(peer.connection.destroyed, false);
  });
});
