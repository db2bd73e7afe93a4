import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ANSWER,
  ask,
  clientPeer,
  data,
  endsWith,
  FramePeer,
  frame,
  headers,
  REQUEST,
  reset,
  serverPeer,
  settings,
  settingsAck,
  turn,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import { ErrorCode } from './error_code.ts';
import { CLIENT_PREFACE, Flag, FrameType } from './frame.ts';
import { encodeHeaders } from './hpack/encoder.ts';

describe('what is said first', () => {
  test('a server says SETTINGS and the size of its window', async () => {
    const peer = new FramePeer('server');
    assert.deepEqual(await peer.sent(), ['Settings', `WindowUpdate 0 ${(1 << 20) - 65_535}`]);
  });

  test('a client says the preface before', async () => {
    const peer = new FramePeer('client');
    const chunks: Buffer[] = [];
    peer.wire.onWrite = (chunk) => void chunks.push(chunk);
    await turn();
    const bytes = Buffer.concat(chunks);
    assert.deepEqual(bytes.subarray(0, 24), CLIENT_PREFACE);
    assert.deepEqual(
      bytes.subarray(24),
      Buffer.concat([settings([2, 0], [4, 100_000], [6, 65_536]), windowUpdate(0, (1 << 20) - 65_535)]),
    );
  });

  test('the preface may come in pieces', async () => {
    const peer = new FramePeer('server');
    const bytes = Buffer.concat([CLIENT_PREFACE, settings(), headers(1, REQUEST, true)]);
    for (const byte of bytes) await peer.send(Buffer.of(byte));
    assert.deepEqual(peer.heard, ['greeted']);
    assert.deepEqual(peer.streams[0]?.said, ['ended']);
  });

  for (const [what, first] of [
    ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nHost: kas\r\n\r\n')],
    ['a preface that is wrong at its end', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r!')],
    ['a preface without SETTINGS', Buffer.concat([CLIENT_PREFACE, frame(FrameType.Ping, 0, 0, Buffer.alloc(8))])],
    ['SETTINGS that are an acknowledgement', Buffer.concat([CLIENT_PREFACE, settingsAck()])],
    ['a frame that is too long', Buffer.concat([CLIENT_PREFACE, Buffer.alloc(9, 0x50)])],
  ] as const) {
    test(`${what} ends a server’s connection`, async () => {
      const peer = new FramePeer('server');
      await peer.send(first);
      await endsWith(peer, ErrorCode.ProtocolError);
    });
  }

  test('a client wants SETTINGS first', async () => {
    const peer = new FramePeer('client');
    await peer.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await endsWith(peer, ErrorCode.ProtocolError);
  });

  test('SETTINGS are acknowledged, each time', async () => {
    const peer = new FramePeer('server');
    await peer.sent();
    await peer.send(CLIENT_PREFACE, settings(), settings([1, 0]));
    assert.deepEqual(await peer.sent(), ['Settings ack', 'Settings ack']);
    assert.deepEqual(peer.heard, ['greeted']);
  });
});

describe('frames that break the rules', () => {
  const some = Buffer.alloc(8);
  for (const [what, code, frames] of [
    ['a frame of more than 16 KiB', ErrorCode.FrameSizeError, [frame(FrameType.Data, 0, 1, Buffer.alloc(16_385))]],
    ['DATA without a stream', ErrorCode.ProtocolError, [data(0, 'x')]],
    ['DATA on a stream that has not begun', ErrorCode.ProtocolError, [data(1, 'x')]],
    ['DATA on a stream of the server', ErrorCode.ProtocolError, [headers(5, REQUEST), data(2, 'x')]],
    ['HEADERS without a stream', ErrorCode.ProtocolError, [headers(0, REQUEST)]],
    ['HEADERS on an even stream', ErrorCode.ProtocolError, [headers(2, REQUEST)]],
    [
      'HEADERS after the end of the stream',
      ErrorCode.StreamClosed,
      [headers(1, REQUEST, true), reset(1, 8), headers(1, REQUEST)],
    ],
    ['a request behind a later one', ErrorCode.ProtocolError, [headers(3, REQUEST), headers(1, REQUEST)]],
    [
      'a block that is none',
      ErrorCode.CompressionError,
      [frame(FrameType.Headers, Flag.EndHeaders, 1, Buffer.from([0xff]))],
    ],
    [
      'more padding than DATA',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), frame(FrameType.Data, Flag.Padded, 1, Buffer.from([3, 0, 0]))],
    ],
    [
      'a padded frame of nothing',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), frame(FrameType.Data, Flag.Padded, 1)],
    ],
    ['CONTINUATION of nothing', ErrorCode.ProtocolError, [frame(FrameType.Continuation, 4, 1)]],
    [
      'CONTINUATION of a block that has ended',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), frame(FrameType.Continuation, 4, 1)],
    ],
    [
      'DATA within a block',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), frame(FrameType.Headers, 0, 3), data(1, 'x')],
    ],
    [
      'PING within a block',
      ErrorCode.ProtocolError,
      [frame(FrameType.Headers, 0, 1), frame(FrameType.Ping, 0, 0, some)],
    ],
    ['an unknown frame within a block', ErrorCode.ProtocolError, [frame(FrameType.Headers, 0, 1), frame(99, 0, 0)]],
    [
      'CONTINUATION of another stream',
      ErrorCode.ProtocolError,
      [frame(FrameType.Headers, 0, 1), frame(FrameType.Continuation, 4, 3)],
    ],
    ['HEADERS within a block', ErrorCode.ProtocolError, [frame(FrameType.Headers, 0, 1), headers(3, REQUEST)]],
    ['PRIORITY without a stream', ErrorCode.ProtocolError, [frame(FrameType.Priority, 0, 0, Buffer.alloc(5))]],
    ['RST_STREAM without a stream', ErrorCode.ProtocolError, [reset(0, 0)]],
    ['RST_STREAM of a stream that has not begun', ErrorCode.ProtocolError, [reset(1, 0)]],
    [
      'RST_STREAM of another length',
      ErrorCode.FrameSizeError,
      [headers(1, REQUEST), frame(FrameType.RstStream, 0, 1, Buffer.alloc(5))],
    ],
    ['SETTINGS of a stream', ErrorCode.ProtocolError, [frame(FrameType.Settings, 0, 1)]],
    ['SETTINGS of another length', ErrorCode.FrameSizeError, [frame(FrameType.Settings, 0, 0, Buffer.alloc(5))]],
    [
      'an acknowledgement that says something',
      ErrorCode.FrameSizeError,
      [frame(FrameType.Settings, Flag.Ack, 0, Buffer.alloc(6))],
    ],
    ['a window of 2^31', ErrorCode.FlowControlError, [settings([4, 0x8000_0000])]],
    ['PUSH_PROMISE', ErrorCode.ProtocolError, [frame(FrameType.PushPromise, 4, 1, some)]],
    ['PING of a stream', ErrorCode.ProtocolError, [frame(FrameType.Ping, 0, 1, some)]],
    ['PING of another length', ErrorCode.FrameSizeError, [frame(FrameType.Ping, 0, 0, Buffer.alloc(7))]],
    ['GOAWAY of a stream', ErrorCode.ProtocolError, [frame(FrameType.GoAway, 0, 1, some)]],
    ['GOAWAY of another length', ErrorCode.FrameSizeError, [frame(FrameType.GoAway, 0, 0, Buffer.alloc(7))]],
    [
      'WINDOW_UPDATE of another length',
      ErrorCode.FrameSizeError,
      [frame(FrameType.WindowUpdate, 0, 0, Buffer.alloc(5))],
    ],
    ['WINDOW_UPDATE of nothing', ErrorCode.ProtocolError, [windowUpdate(0, 0)]],
    [
      'WINDOW_UPDATE of nothing on a stream that has ended',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), reset(1, 8), windowUpdate(1, 0)],
    ],
    [
      'more padding than DATA on a stream that has ended',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), reset(1, 8), frame(FrameType.Data, Flag.Padded, 1, Buffer.from([3, 0]))],
    ],
    ['WINDOW_UPDATE of a stream that has not begun', ErrorCode.ProtocolError, [windowUpdate(1, 1)]],
    ['a window of the connection beyond 2^31-1', ErrorCode.FlowControlError, [windowUpdate(0, 0x7fff_ffff)]],
    [
      'a window of a stream beyond 2^31-1 by SETTINGS',
      ErrorCode.FlowControlError,
      [headers(1, REQUEST), windowUpdate(1, 0x7fff_0000), settings([4, 0x7fff_ffff])],
    ],
  ] as [string, number, Buffer[]][]) {
    test(`${what}: GOAWAY`, async () => {
      const peer = await serverPeer();
      await peer.send(...frames);
      await endsWith(peer, code);
      assert.ok(peer.streams.every(({ heard }) => heard.filter((word) => word.startsWith('closed')).length === 1));
    });
  }

  for (const [what, code, frames] of [
    ['PUSH_PROMISE', ErrorCode.ProtocolError, [frame(FrameType.PushPromise, 4, 1, some)]],
    ['HEADERS on a stream that has not begun', ErrorCode.ProtocolError, [headers(3, ANSWER)]],
    ['HEADERS on a stream of the server', ErrorCode.ProtocolError, [headers(2, ANSWER)]],
    ['DATA on a stream that has not begun', ErrorCode.ProtocolError, [data(3, 'x')]],
    ['RST_STREAM of a stream that has not begun', ErrorCode.ProtocolError, [reset(3, 0)]],
  ] as [string, number, Buffer[]][]) {
    test(`${what}, to a client: GOAWAY`, async () => {
      const peer = await clientPeer();
      const asked = ask(peer);
      await peer.send(...frames);
      await endsWith(peer, code);
      assert.deepEqual(asked.said, ['closed 8']);
    });
  }

  test('what came before is heard, what came behind is not', async () => {
    const peer = await serverPeer();
    await peer.send(headers(1, REQUEST, true), reset(3, 8), headers(5, REQUEST, true));
    assert.equal(peer.streams.length, 1);
    assert.deepEqual(peer.streams[0]?.said, ['ended', 'closed 8']);
  });
});

describe('streams that break the rules', () => {
  const padded = frame(FrameType.Data, Flag.Padded | Flag.EndStream, 1, Buffer.from([2, 65, 66, 0, 0]));
  const long = { ...REQUEST, 'content-length': '3' };
  for (const [what, code, frames] of [
    ['a request without a path', ErrorCode.ProtocolError, [headers(1, { ':method': 'GET', ':scheme': 'http' }, true)]],
    ['a name in capitals', ErrorCode.ProtocolError, [headers(1, { ...REQUEST, 'X-A': 'b' }, true)]],
    ['a length that is none', ErrorCode.ProtocolError, [headers(1, { ...REQUEST, 'content-length': '+3' })]],
    [
      'a header list that is too long',
      ErrorCode.EnhanceYourCalm,
      [headers(1, { ...REQUEST, a: Array(101).fill('b') })],
    ],
    ['less DATA than promised', ErrorCode.ProtocolError, [headers(1, long), data(1, 'ab', true)]],
    ['no DATA where it was promised', ErrorCode.ProtocolError, [headers(1, long, true)]],
    ['less DATA than promised, with padding', ErrorCode.ProtocolError, [headers(1, long), padded]],
    ['more DATA than promised', ErrorCode.ProtocolError, [headers(1, long), data(1, 'ab'), data(1, 'cd')]],
    [
      'trailers instead of what was promised',
      ErrorCode.ProtocolError,
      [headers(1, long), headers(1, { a: 'b' }, true)],
    ],
    ['trailers that are not the end', ErrorCode.ProtocolError, [headers(1, REQUEST), headers(1, { a: 'b' })]],
    ['trailers with a path', ErrorCode.ProtocolError, [headers(1, REQUEST), headers(1, { ':path': '/' }, true)]],
    ['a WINDOW_UPDATE of nothing', ErrorCode.ProtocolError, [headers(1, REQUEST), windowUpdate(1, 0)]],
    ['a window beyond 2^31-1', ErrorCode.FlowControlError, [headers(1, REQUEST), windowUpdate(1, 0x7fff_ffff)]],
    ['DATA after the end', ErrorCode.StreamClosed, [headers(1, REQUEST, true), data(1, 'x')]],
    ['HEADERS after the end', ErrorCode.StreamClosed, [headers(1, REQUEST, true), headers(1, { a: 'b' }, true)]],
    [
      'a PRIORITY of another length',
      ErrorCode.FrameSizeError,
      [headers(1, REQUEST), frame(FrameType.Priority, 0, 1, Buffer.alloc(4))],
    ],
    [
      'a PRIORITY that depends on itself',
      ErrorCode.ProtocolError,
      [headers(1, REQUEST), frame(FrameType.Priority, 0, 1, Buffer.from([0, 0, 0, 1, 0]))],
    ],
  ] as [string, number, Buffer[]][]) {
    test(`${what}: RST_STREAM, and the connection goes on`, async () => {
      const peer = await serverPeer();
      await peer.send(...frames);
      assert.deepEqual(await peer.sent(), [`RstStream 1 ${code}`]);
      assert.ok(peer.streams.every(({ heard }) => heard.at(-1) === `closed ${code}`));
      await peer.send(headers(3, REQUEST, true));
      assert.deepEqual(peer.streams.at(-1)?.said, ['ended']);
      assert.equal(peer.connection.openStreams, 1);
    });
  }

  for (const [what, frames] of [
    ['an answer without a status', [headers(1, { a: 'b' })]],
    ['DATA before the answer', [data(1, 'x')]],
    ['an interim answer that is the end', [headers(1, { ':status': 103 }, true)]],
    ['an answer that switches protocols', [headers(1, { ':status': 101 })]],
    ['an answer with a path', [headers(1, { ':status': 200, ':path': '/' })]],
    ['more DATA than promised', [headers(1, { ...ANSWER, 'content-length': '1' }), data(1, 'ab')]],
    ['trailers that are not the end', [headers(1, ANSWER), headers(1, { a: 'b' })]],
  ] as [string, Buffer[]][]) {
    test(`${what}, to a client: RST_STREAM`, async () => {
      const peer = await clientPeer();
      const asked = ask(peer);
      await peer.sent();
      await peer.send(...frames);
      assert.deepEqual(await peer.sent(), ['RstStream 1 1']);
      assert.equal(asked.said.at(-1), 'closed 1');
      assert.equal(peer.connection.destroyed, false);
    });
  }

  test('what was under way when we reset a stream is let pass', async () => {
    const peer = await serverPeer();
    await peer.send(headers(1, REQUEST));
    peer.streams[0]?.stream.reset(ErrorCode.Cancel);
    assert.deepEqual(await peer.sent(), ['RstStream 1 8']);
    await peer.send(data(1, 'x'), windowUpdate(1, 5), headers(1, { a: 'b' }, true), reset(1, 8));
    assert.deepEqual(await peer.sent(), []);
    assert.equal(peer.connection.destroyed, false);
  });

  test('DATA after the peer’s own end or reset is told of', async () => {
    const peer = await serverPeer();
    await peer.send(headers(1, REQUEST), reset(1, 8), data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['RstStream 1 5']);
  });
});

describe('what means nothing', () => {
  test('unknown frames, flags and settings, and priorities', async () => {
    const peer = await serverPeer();
    await peer.send(
      frame(99, 255, 0, Buffer.from('x')),
      frame(10, 0, 1),
      settings([99, 1]),
      frame(FrameType.Priority, 0, 1, Buffer.from([0, 0, 0, 3, 9])),
      frame(FrameType.Headers, 0xff & ~(Flag.Padded | Flag.Priority), 1, encodeHeaders(REQUEST)),
    );
    assert.deepEqual(await peer.sent(), ['Settings ack']);
    assert.deepEqual(peer.streams[0]?.said, ['ended']);
  });
});

describe('PING', () => {
  test('is answered with what it said', async () => {
    const peer = await serverPeer();
    await peer.send(frame(FrameType.Ping, 0, 0, Buffer.from('12345678')));
    await turn();
    assert.deepEqual(peer.frames, [
      { type: FrameType.Ping, flags: Flag.Ack, streamId: 0, payload: Buffer.from('12345678') },
    ]);
    assert.deepEqual(peer.heard, ['pinged']);
  });

  test('of ours is answered once, or fails with the connection', async () => {
    const peer = await clientPeer();
    const answers: string[] = [];
    for (const name of ['a', 'b', 'c'])
      peer.connection.ping((error) => answers.push(`${name} ${error?.message ?? 'ok'}`));
    assert.deepEqual(await peer.sent(), ['Ping', 'Ping', 'Ping']);
    await peer.send(frame(FrameType.Ping, Flag.Ack, 0, peer.frames[0]?.payload ?? Buffer.alloc(8)));
    assert.deepEqual(answers, ['a ok']);
    peer.connection.destroy(new Error('gone'));
    peer.connection.ping((error) => answers.push(`d ${error?.message}`));
    assert.deepEqual(answers, ['a ok', 'b gone', 'c gone', 'd gone']);
  });
});
