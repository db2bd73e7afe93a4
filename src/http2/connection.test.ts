import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  data,
  FramePeer,
  frame,
  goAway,
  HeardStream,
  headers,
  joined,
  OPTIONS,
  REQUEST,
  reset,
  settings,
  settingsAck,
  turn,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import type { ConnectionHandler, ConnectionOptions } from './connection.ts';
import { ErrorCode } from './error_code.ts';
import { CLIENT_PREFACE, Flag, FrameType } from './frame.ts';
import { encodeHeaders } from './hpack/encoder.ts';
import { newPeerSettings, readSettings } from './settings.ts';

const ANSWER = { ':status': 200 };
const CALL = { ':method': 'POST', ':scheme': 'http', ':path': '/x' };

async function server(options: Partial<ConnectionOptions> = {}, handler: Partial<ConnectionHandler> = {}) {
  const peer = new FramePeer('server', options, handler);
  await peer.greet();
  return peer;
}

async function client(options: Partial<ConnectionOptions> = {}, handler: Partial<ConnectionHandler> = {}) {
  const peer = new FramePeer('client', options, handler);
  await peer.greet();
  return peer;
}

/** A request of ours, its stream listened to. */
function ask(peer: FramePeer): HeardStream {
  return new HeardStream(peer.connection.request(CALL)).listen();
}

/** The connection has ended with this code, and says so in GOAWAY. */
async function endsWith(peer: FramePeer, code: number): Promise<void> {
  const sent = await peer.sent();
  assert.match(sent.at(-1) ?? '', new RegExp(`^GoAway \\d+ ${code}( |$)`));
  assert.ok(peer.connection.destroyed);
  assert.equal(peer.heard.filter((word) => word.startsWith('closed')).length, 1);
}

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
      const peer = await server();
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
      const peer = await client();
      const asked = ask(peer);
      await peer.send(...frames);
      await endsWith(peer, code);
      assert.deepEqual(asked.said, ['closed 8']);
    });
  }

  test('what came before is heard, what came behind is not', async () => {
    const peer = await server();
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
      const peer = await server();
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
      const peer = await client();
      const asked = ask(peer);
      await peer.sent();
      await peer.send(...frames);
      assert.deepEqual(await peer.sent(), ['RstStream 1 1']);
      assert.equal(asked.said.at(-1), 'closed 1');
      assert.equal(peer.connection.destroyed, false);
    });
  }

  test('what was under way when we reset a stream is let pass', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST));
    peer.streams[0]?.stream.reset(ErrorCode.Cancel);
    assert.deepEqual(await peer.sent(), ['RstStream 1 8']);
    await peer.send(data(1, 'x'), windowUpdate(1, 5), headers(1, { a: 'b' }, true), reset(1, 8));
    assert.deepEqual(await peer.sent(), []);
    assert.equal(peer.connection.destroyed, false);
  });

  test('DATA after the peer’s own end or reset is told of', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST), reset(1, 8), data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['RstStream 1 5']);
  });
});

describe('what means nothing', () => {
  test('unknown frames, flags and settings, and priorities', async () => {
    const peer = await server();
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

describe('requests', () => {
  test('come with their headers, by name and as they came; body, trailers and end follow', async () => {
    const lists: (readonly string[])[] = [];
    const peer = await server(
      {},
      {
        request: (stream, headers, list) => {
          lists.push(list);
          peer.streams.push(new HeardStream(stream, headers).listen());
        },
      },
    );
    await peer.send(
      headers(1, { ...REQUEST, a: ['1', '2'] }),
      data(1, 'one'),
      data(1),
      data(1, 'two'),
      headers(1, { t: 'x' }, true),
    );
    assert.deepEqual({ ...peer.streams[0]?.request }, { ...REQUEST, a: '1, 2' });
    assert.deepEqual(lists, [[...Object.entries(REQUEST).flat(), 'a', '1', 'a', '2']]);
    assert.deepEqual(peer.streams[0]?.said, ['data one', 'data two', 'trailers t x', 'ended']);
  });

  test('padding is not part of the body', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST), frame(FrameType.Data, Flag.Padded, 1, Buffer.from('\x03abc\0\0\0')));
    await peer.send(frame(FrameType.Data, Flag.Padded | Flag.EndStream, 1, Buffer.from('\x00')));
    assert.deepEqual(peer.streams[0]?.said, ['data abc', 'ended']);
  });

  test('a block may come in pieces', async () => {
    const peer = await server();
    const block = encodeHeaders(REQUEST);
    await peer.send(
      frame(FrameType.Headers, Flag.EndStream, 1, block.subarray(0, 2)),
      frame(FrameType.Continuation, 0, 1, block.subarray(2, 9)),
      frame(FrameType.Continuation, 0, 1),
      frame(FrameType.Continuation, Flag.EndHeaders, 1, block.subarray(9)),
    );
    assert.deepEqual({ ...peer.streams[0]?.request }, REQUEST);
    assert.deepEqual(peer.streams[0]?.said, ['ended']);
  });

  test('beyond the limit are refused, until one has ended', async () => {
    const peer = await server({ maxStreams: 2 });
    await peer.send(headers(1, REQUEST, true), headers(3, REQUEST, true), headers(5, REQUEST), data(5, 'under way'));
    assert.equal(peer.streams.length, 2);
    assert.deepEqual(await peer.sent(), ['RstStream 5 7']);
    peer.streams[0]?.stream.sendHeaders(ANSWER, true);
    await peer.send(headers(7, REQUEST, true));
    assert.equal(peer.streams.length, 3);
    assert.deepEqual(await peer.sent(), ['Headers 1 end :status 200']);
  });

  test('of strangers beyond fewer, and whoever counts them hears so', async () => {
    const refused: string[] = [];
    const limits = { maxStreams: 3, strangerStreams: 1, headerList: { bytes: 200, pairs: 100 } };
    const peer = await server(limits, { refused: (limit) => void refused.push(limit) });
    await peer.send(headers(1, REQUEST), headers(3, REQUEST));
    assert.deepEqual(refused, ['streams']);
    peer.connection.trust();
    await peer.send(headers(5, REQUEST), headers(7, REQUEST), headers(9, REQUEST));
    assert.deepEqual(await peer.sent(), ['RstStream 3 7', 'Settings', 'RstStream 9 7']);
    assert.equal(peer.streams.length, 3);
    peer.streams[0]?.stream.reset(8);
    await peer.send(headers(11, { ...REQUEST, a: 'x'.repeat(200) }));
    assert.deepEqual(refused, ['streams', 'streams', 'headers']);
    assert.deepEqual(await peer.sent(), ['RstStream 1 8', `RstStream 11 ${ErrorCode.EnhanceYourCalm}`]);
    await peer.send(
      frame(FrameType.Headers, 0, 13, Buffer.alloc(300)),
      frame(FrameType.Continuation, 0, 13, Buffer.alloc(1)),
    );
    assert.deepEqual(refused, ['streams', 'streams', 'headers', 'headers']);
    await endsWith(peer, ErrorCode.EnhanceYourCalm);
  });

  test('strangers are told of fewer; who is known of all, once they come near to what he was told', async () => {
    const peer = new FramePeer('server', { maxStreams: 10, strangerStreams: 4 });
    const maxConcurrentStreams = () => {
      const told = peer.frames.splice(0).filter(({ type, flags }) => type === FrameType.Settings && flags === 0);
      const settings = newPeerSettings();
      for (const { payload } of told) readSettings(payload, settings);
      return settings.maxConcurrentStreams;
    };
    await turn();
    assert.equal(maxConcurrentStreams(), 4);
    await peer.greet();
    await peer.send(headers(1, REQUEST));
    peer.connection.trust();
    await turn();
    assert.equal(maxConcurrentStreams(), Number.POSITIVE_INFINITY);
    await peer.send(headers(3, REQUEST));
    assert.equal(maxConcurrentStreams(), 10);
    await peer.send(settingsAck(), headers(5, REQUEST));
    assert.equal(maxConcurrentStreams(), Number.POSITIVE_INFINITY);
    assert.equal(peer.connection.destroyed, false);
  });

  test('an answer before the end of the request asks the client to stop, after a moment', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST), data(1, 'x'));
    peer.streams[0]?.stream.sendHeaders(ANSWER, true);
    assert.deepEqual(peer.streams[0]?.said, ['data x', 'closed 0']);
    assert.equal(peer.streams[0]?.stream.closed, true);
    peer.clock.advance(9);
    assert.deepEqual(await peer.sent(), ['Headers 1 end :status 200']);
    peer.clock.advance(1);
    assert.deepEqual(await peer.sent(), ['RstStream 1 0']);
    assert.equal(peer.connection.openStreams, 0);
    assert.equal(peer.clock.pendingTimers, 0);
    assert.deepEqual(peer.streams[0]?.said, []);
  });

  test('a client that ends in that moment has done nothing wrong', async () => {
    const peer = await server();
    peer.onRequest = (heard) => {
      heard.listen();
      heard.stream.sendHeaders(ANSWER, true);
      heard.stream.reset(ErrorCode.Cancel); // by whoever has had enough already
    };
    await peer.send(
      headers(1, REQUEST),
      data(1, Buffer.alloc(16_000)),
      data(1, Buffer.alloc(16_000)),
      data(1, 'x', true),
    );
    await peer.send(headers(3, REQUEST), data(3, 'x'), headers(3, { t: 'x' }, true));
    assert.deepEqual(await peer.sent(), ['Headers 1 end :status 200', 'Headers 3 end :status 200']);
    assert.equal(peer.connection.openStreams, 0);
    peer.clock.advance(100);
    assert.deepEqual(await peer.sent(), []);
    assert.deepEqual(
      peer.streams.map(({ said }) => said),
      [['closed 0'], ['closed 0']],
    );
  });

  test('one that breaks a rule in that moment is told so', async () => {
    const peer = await server();
    peer.onRequest = (heard) => {
      heard.listen();
      heard.stream.sendHeaders(ANSWER, true);
    };
    await peer.send(headers(1, { ...REQUEST, 'content-length': 3 }), data(1, 'four'));
    await peer.send(headers(3, REQUEST), headers(3, REQUEST));
    await peer.send(
      headers(5, REQUEST),
      reset(5, 0),
      headers(7, REQUEST),
      ...Array(7).fill(data(7, Buffer.alloc(16_000))),
    );
    assert.deepEqual(
      (await peer.sent()).filter((word) => word.startsWith('Rst')),
      ['RstStream 1 1', 'RstStream 3 1', 'RstStream 7 3'],
    );
    assert.equal(peer.connection.openStreams, 0);
    for (const { said } of peer.streams) assert.deepEqual(said, ['closed 0']);
  });

  test('a client that resets without an error has not had its answer', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST, true), reset(1, ErrorCode.NoError));
    assert.deepEqual(peer.streams[0]?.said, ['ended', 'closed 8']);
  });

  test('a defect of the handler ends the connection and is not swallowed', async () => {
    const peer = await server();
    peer.onRequest = () => {
      throw new Error('defect');
    };
    const thrown = new Promise((resolve) => {
      const [push] = peer.wire.listeners('data');
      peer.wire.removeAllListeners('data');
      peer.wire.on('data', (chunk) => {
        try {
          push?.call(peer.wire, chunk);
        } catch (error) {
          resolve(error);
        }
      });
    });
    await peer.send(headers(1, REQUEST));
    assert.match(String(await thrown), /defect/);
    await endsWith(peer, ErrorCode.InternalError);
  });
});

describe('answers', () => {
  test('come with head, body, trailers and end', async () => {
    const peer = await client();
    const asked = ask(peer);
    asked.stream.end();
    assert.deepEqual(await peer.sent(), ['Headers 1 :method POST :scheme http :path /x', 'Data 1 0 end']);
    await peer.send(headers(1, { ':status': 103 }), headers(1, ANSWER), data(1, 'body'), headers(1, { t: 'x' }, true));
    assert.deepEqual(asked.said, ['headers 200', 'data body', 'trailers t x', 'ended', 'closed 0']);
    assert.equal(peer.connection.openStreams, 0);
  });

  test('a reset without an error after all of it is no loss', async () => {
    const peer = await client();
    const asked = new HeardStream(peer.connection.request(CALL));
    asked.stream.open(asked);
    await peer.send(headers(1, ANSWER), data(1, 'body', true), reset(1, ErrorCode.NoError));
    assert.deepEqual(asked.said, []);
    asked.stream.resume();
    assert.deepEqual(asked.said, ['headers 200', 'data body', 'ended', 'closed 0']);
  });

  test('requests beyond what the server takes wait, in their order', async () => {
    const peer = new FramePeer('client');
    await peer.greet([3, 2]);
    const asked = [ask(peer), ask(peer), ask(peer), ask(peer)];
    asked[2]?.stream.write(Buffer.from('third'));
    asked[2]?.stream.end();
    asked[3]?.stream.end({ t: 'x' });
    assert.equal((await peer.sent()).length, 2);
    assert.equal(peer.connection.openStreams, 4);
    asked[0]?.stream.reset(ErrorCode.Cancel);
    const third = ['Headers 5 :method POST :scheme http :path /x', 'Data 5 5 end'];
    assert.deepEqual(await peer.sent(), ['RstStream 1 8', ...third]);
    await peer.send(settings([3, 3]));
    assert.deepEqual(await peer.sent(), [
      'Settings ack',
      'Headers 7 :method POST :scheme http :path /x',
      'Headers 7 end t x',
    ]);
  });

  test('a request that waits can be given up', async () => {
    const peer = new FramePeer('client');
    await peer.greet([3, 0]);
    const asked = [ask(peer), ask(peer)];
    asked[0]?.stream.write(Buffer.from('x'));
    asked[0]?.stream.reset(ErrorCode.Cancel);
    assert.deepEqual(asked[0]?.said, ['closed 8']);
    await peer.send(settings([3, 5]));
    assert.deepEqual(await peer.sent(), ['Settings ack', 'Headers 1 :method POST :scheme http :path /x']);
    assert.equal(peer.connection.openStreams, 1);
  });

  test('a client without numbers for streams takes no more requests, and finishes those it has', async () => {
    const peer = new FramePeer('client', { maxRequests: 2 });
    await peer.greet([3, 1]);
    const asked = [ask(peer), ask(peer), ask(peer)];
    assert.deepEqual(peer.heard, []);
    asked[0]?.stream.end();
    await peer.send(headers(1, ANSWER, true));
    assert.deepEqual(peer.heard, ['leaving 0']);
    assert.deepEqual(
      asked.map(({ said }) => said.at(-1)),
      ['closed 0', undefined, 'closed 7'],
    );
    assert.equal(peer.connection.destroyed, false);
    asked[1]?.stream.end();
    await peer.send(headers(3, ANSWER, true));
    assert.equal(asked[1]?.said.at(-1), 'closed 0');
    assert.deepEqual(peer.heard, ['leaving 0', 'closed']);
  });

  test('requests that wait fail with the connection', async () => {
    const peer = new FramePeer('client');
    await peer.greet([3, 1]);
    const asked = [ask(peer), ask(peer), ask(peer)];
    peer.connection.destroy();
    for (const { said } of asked) assert.deepEqual(said, ['closed 8']);
    const late = ask(peer);
    await turn();
    assert.deepEqual(late.said, ['closed 7']);
  });
});

describe('header blocks that we send', () => {
  test('go on in CONTINUATION, in one piece for the peer', async () => {
    const { client, server } = joined({ headerList: { bytes: 1 << 20, pairs: 100 } });
    const long = { a: 'x'.repeat(40_000), b: 'y'.repeat(20_000) };
    const stream = client.connection.request({ ...CALL, ...long });
    stream.end();
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual({ ...server.streams[0]?.request }, { ...CALL, ...long });
    assert.deepEqual(
      client.frames
        .filter(({ streamId }) => streamId === 1)
        .map(({ type, flags, payload }) => [type, flags, payload.length]),
      [
        [FrameType.Headers, 0, 16_384],
        [FrameType.Continuation, 0, 16_384],
        [FrameType.Continuation, 0, 16_384],
        [
          FrameType.Continuation,
          Flag.EndHeaders,
          client.frames.find(({ flags }) => flags === Flag.EndHeaders)?.payload.length,
        ],
        [FrameType.Data, Flag.EndStream, 0],
      ],
    );
    assert.deepEqual(server.streams[0]?.said, ['ended']);
  });

  test('begin with the size of their table, if the peer’s has less room than by default', async () => {
    const peer = new FramePeer('server');
    await peer.greet([1, 100]);
    await peer.send(headers(1, REQUEST, true), headers(3, REQUEST, true));
    for (const { stream } of peer.streams) stream.sendHeaders(ANSWER, true);
    await turn();
    const blocks = peer.frames
      .filter(({ type }) => type === FrameType.Headers)
      .map(({ payload }) => payload.toString('hex'));
    assert.deepEqual(blocks, ['2088', '88']);
  });

  test('do not, if it has as much or more', async () => {
    const peer = new FramePeer('server');
    await peer.greet([1, 65_536]);
    await peer.send(headers(1, REQUEST, true));
    peer.streams[0]?.stream.sendHeaders(ANSWER, true);
    await turn();
    assert.deepEqual(
      peer.frames.map(({ payload }) => payload.toString('hex')),
      ['88'],
    );
  });
});

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
    const peer = await server();
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
    const peer = await server({ streamWindowBytes: 100 });
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
    const peer = await server({ connectionWindowBytes: 65_535, streamWindowBytes: 1 << 20 });
    peer.onRequest = () => {};
    // Half of it is given back as soon as it has come.
    await peer.send(headers(1, REQUEST), ...Array(10).fill(data(1, Buffer.alloc(16_384))));
    const given = (await peer.sent()).filter((word) => word.startsWith('WindowUpdate 0'));
    assert.equal(given.length, 5);
    await peer.send(frame(FrameType.Headers, Flag.EndHeaders, 3, encodeHeaders(REQUEST)));
    assert.equal(peer.connection.destroyed, false);
  });

  test('what was read is given back, half a window at a time', async () => {
    const peer = await server({ streamWindowBytes: 10_000 });
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(4999)));
    assert.deepEqual(await peer.sent(), []);
    await peer.send(data(1, 'x'));
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 5000']);
  });

  test('padding is given back like what was read', async () => {
    const peer = await server({ streamWindowBytes: 100 });
    await peer.send(headers(1, REQUEST));
    const padded = frame(FrameType.Data, Flag.Padded, 1, Buffer.from('\x03a\0\0\0'));
    for (let i = 0; i < 25; i++) await peer.send(padded);
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 50', 'WindowUpdate 1 50']);
  });

  test('what nobody reads is not', async () => {
    const peer = await server({ streamWindowBytes: 10_000 });
    peer.onRequest = (heard) => void heard.stream.open(heard);
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(10_000)));
    assert.deepEqual(await peer.sent(), []);
    peer.streams[0]?.stream.resume();
    assert.deepEqual(await peer.sent(), ['WindowUpdate 1 10000']);
  });

  test('stalled streams do not use up the connection’s, up to a bound', async () => {
    const options = { connectionWindowBytes: 65_535, heldBytes: { stranger: 70_000, known: 140_000 } };
    const peer = await server({ ...options, streamWindowBytes: 1 << 20 });
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
    const peer = await server({ ...options, streamWindowBytes: 1 << 20 });
    peer.onRequest = (heard) => heard.stream.open(heard);
    await peer.send(headers(1, REQUEST), data(1, Buffer.alloc(16_384)), data(1, Buffer.alloc(16_384)));
    assert.deepEqual(await peer.sent(), []);
    peer.streams[0]?.stream.reset(ErrorCode.Cancel);
    assert.deepEqual((await peer.sent()).toSorted(), ['RstStream 1 8', 'WindowUpdate 0 32768']);
  });

  test('another window is told, and counts when the peer knows', async () => {
    const peer = await server({ streamWindowBytes: 100 });
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
    const peer = await server({ streamWindowBytes: 1000 });
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

describe('PING', () => {
  test('is answered with what it said', async () => {
    const peer = await server();
    await peer.send(frame(FrameType.Ping, 0, 0, Buffer.from('12345678')));
    await turn();
    assert.deepEqual(peer.frames, [
      { type: FrameType.Ping, flags: Flag.Ack, streamId: 0, payload: Buffer.from('12345678') },
    ]);
    assert.deepEqual(peer.heard, ['pinged']);
  });

  test('of ours is answered once, or fails with the connection', async () => {
    const peer = await client();
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

describe('GOAWAY', () => {
  test('of ours names the last stream that was looked at; those that are open go on, later ones are not looked at', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST), headers(3, REQUEST));
    peer.connection.close();
    peer.connection.close();
    assert.deepEqual(await peer.sent(), ['GoAway 3 0']);
    await peer.send(
      headers(5, REQUEST),
      data(5, 'x'),
      windowUpdate(5, 1),
      data(1, 'y', true),
      headers(5, { t: 'x' }, true),
      reset(5, 8),
    );
    assert.equal(peer.streams.length, 2);
    assert.deepEqual(peer.streams[0]?.said, ['data y', 'ended']);
    for (const { stream } of peer.streams) stream.sendHeaders(ANSWER, true);
    peer.clock.advance(50);
    await peer.sent();
    assert.ok(peer.connection.destroyed);
    assert.ok(peer.wire.writableEnded);
    assert.deepEqual(peer.heard, ['closed']);
    assert.equal(peer.wire.destroyed, false, 'the last bytes may still be under way');
    peer.clock.advance(100);
    assert.equal(peer.wire.destroyed, true);
  });

  test('of ours ends a connection without streams', async () => {
    const peer = await client();
    peer.connection.close();
    assert.deepEqual(await peer.sent(), ['GoAway 0 0']);
    assert.ok(peer.connection.destroyed);
    const late = ask(peer);
    await turn();
    assert.deepEqual(late.said, ['closed 7']);
  });

  test('a peer that does not take our last bytes has 20 s', async () => {
    const peer = await client();
    peer.wire.block();
    peer.connection.ping();
    await turn();
    peer.connection.close();
    await turn();
    peer.clock.advance(19_999);
    assert.equal(peer.wire.destroyed, false);
    peer.clock.advance(1);
    assert.equal(peer.wire.destroyed, true);
  });

  test('of the server refuses what it has not seen, and the connection ends after the rest', async () => {
    const peer = new FramePeer('client');
    await peer.greet([3, 2]);
    const asked = [ask(peer), ask(peer), ask(peer)];
    await peer.send(goAway(1, ErrorCode.NoError, 'bye'));
    assert.deepEqual(peer.heard, ['leaving 0 bye']);
    assert.deepEqual(
      asked.map(({ said }) => said),
      [[], ['closed 7'], ['closed 7']],
    );
    await peer.send(headers(1, ANSWER, true));
    asked[0]?.stream.end();
    assert.deepEqual(asked[0]?.said, ['headers 200', 'ended', 'closed 0']);
    assert.ok(peer.connection.destroyed);
    assert.deepEqual(peer.heard, ['leaving 0 bye', 'closed']);
  });

  test('of the server may come twice, the second time with fewer streams', async () => {
    const peer = await client();
    const asked = [ask(peer), ask(peer)];
    await peer.send(goAway(0x7fff_ffff, ErrorCode.NoError));
    const late = ask(peer);
    await peer.send(goAway(1, ErrorCode.NoError));
    assert.deepEqual(late.said, ['closed 7']);
    assert.deepEqual(
      asked.map(({ said }) => said),
      [[], ['closed 7']],
    );
  });

  test('with an error is why the connection has ended', async () => {
    const peer = await client();
    const asked = ask(peer);
    await peer.send(goAway(1, ErrorCode.EnhanceYourCalm, 'too_many_pings'));
    peer.wire.push(null);
    await turn();
    assert.deepEqual(asked.said, ['closed 8']);
    assert.match(peer.heard.at(-1) ?? '', /^closed the peer has said GOAWAY too_many_pings$/);
  });

  test('of a client lets its requests finish', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST, true), goAway(0, ErrorCode.NoError));
    assert.equal(peer.connection.destroyed, false);
    peer.streams[0]?.stream.sendHeaders(ANSWER, true);
    assert.deepEqual(peer.heard, ['leaving 0', 'closed']);
  });
});

describe('the end', () => {
  test('of the transport is that of all streams', async () => {
    for (const how of ['end', 'error', 'close'] as const) {
      const peer = await server();
      await peer.send(headers(1, REQUEST), headers(3, REQUEST, true));
      if (how === 'end') peer.wire.push(null);
      else peer.wire.destroy(how === 'error' ? new Error('ECONNRESET') : undefined);
      await turn();
      await turn();
      assert.deepEqual(peer.heard, [how === 'error' ? 'closed ECONNRESET' : 'closed'], how);
      assert.deepEqual(
        peer.streams.map(({ said }) => said),
        [['closed 8'], ['ended', 'closed 8']],
      );
      assert.ok(peer.wire.destroyed);
      assert.equal(peer.connection.openStreams, 0);
    }
  });

  test('of a transport that was gone at the beginning', async () => {
    const peer = new FramePeer('client');
    peer.wire.destroy();
    const gone = new FramePeer('client', {}, {}, peer.wire);
    const asked = ask(gone);
    await turn();
    assert.deepEqual(gone.heard, ['closed']);
    assert.deepEqual(asked.said, ['closed 8']);
  });

  test('`destroy` at any moment, from whatever a stream hears', async () => {
    const conversation = [headers(1, REQUEST), data(1, 'x'), headers(1, { t: 'x' }, true), headers(3, REQUEST, true)];
    for (const moment of ['data x', 'trailers t x', 'ended', 'request', 'closed 8', 'drained']) {
      const peer = await server({}, {});
      peer.onRequest = (heard) => {
        heard.on = (word) => {
          if (word === moment) peer.connection.destroy(new Error(moment));
        };
        heard.listen();
        if (moment === 'request') peer.connection.destroy(new Error(moment));
      };
      await peer.send(...conversation);
      if (moment === 'drained') {
        const { stream } = peer.streams[0]!;
        stream.sendHeaders(ANSWER);
        while (stream.write(Buffer.alloc(10_000)));
        await peer.send(windowUpdate(1, 1 << 20), windowUpdate(0, 1 << 20));
        for (let i = 0; i < 5; i++) await turn();
      }
      if (moment === 'closed 8') peer.streams[0]?.stream.reset(8);
      await turn();
      assert.ok(peer.connection.destroyed, moment);
      assert.equal(peer.heard.filter((word) => word.startsWith('closed')).length, 1, moment);
      for (const { heard } of peer.streams)
        assert.equal(heard.filter((word) => word.startsWith('closed')).length, 1, moment);
    }
  });

  test('is heard behind that of the last stream', async () => {
    for (const role of ['server', 'client'] as const) {
      const order: string[] = [];
      const peer: FramePeer = new FramePeer(role, {}, { closed: () => order.push('connection') });
      await peer.greet();
      if (role === 'server') await peer.send(headers(1, REQUEST, true));
      const heard = role === 'server' ? peer.streams[0]! : ask(peer);
      heard.on = (word) => order.push(word);
      peer.connection.close();
      heard.stream.reset(ErrorCode.Cancel);
      assert.deepEqual(order, ['closed 8', 'connection']);
    }
  });

  test('of thousands of requests that wait takes no longer than they deserve', async () => {
    const peer = new FramePeer('client');
    await peer.greet([3, 0]);
    const asked = Array.from({ length: 80_000 }, () => ask(peer));
    const start = process.cpuUsage();
    for (const { stream } of asked.slice(0, 40_000)) stream.reset(ErrorCode.Cancel);
    await peer.send(goAway(0, 0));
    assert.ok(asked.every(({ said }) => said.length === 1));
    // About 100 ms of the processor's time, however busy it is; seconds if each looked at all others.
    assert.ok(process.cpuUsage(start).user < 2_000_000);
  });

  test('leaves no timer behind, whoever closes first', async () => {
    const closing = await client();
    closing.connection.close();
    await turn();
    assert.equal(closing.clock.pendingTimers, 1);
    closing.wire.destroy();
    await turn();
    assert.equal(closing.clock.pendingTimers, 0);
    const lingering = await server();
    await lingering.send(headers(1, REQUEST));
    lingering.streams[0]?.stream.sendHeaders(ANSWER, true);
    lingering.connection.destroy();
    assert.equal(lingering.clock.pendingTimers, 0);
    const late = await client();
    late.wire.block();
    late.connection.close();
    late.wire.destroy();
    await turn();
    assert.equal(late.clock.pendingTimers, 0);
  });

  test('leaves no timer behind', async () => {
    const peer = await server();
    await peer.send(headers(1, REQUEST));
    peer.connection.fail(ErrorCode.ProtocolError, '');
    peer.wire.push(null);
    await turn();
    peer.clock.advance(100);
    await turn();
    assert.ok(peer.wire.destroyed);
    assert.equal(peer.clock.pendingTimers, 0);
  });

  test('nothing is sent after it', async () => {
    const peer = await client();
    const asked = ask(peer);
    peer.connection.destroy();
    await peer.sent();
    asked.stream.write(Buffer.from('x'));
    asked.stream.end();
    asked.stream.reset(8);
    peer.connection.ping();
    peer.connection.close();
    peer.connection.fail(1, '');
    peer.connection.setStreamWindow(5, () => {});
    assert.deepEqual(await peer.sent(), []);
    assert.deepEqual(asked.said, ['closed 8']);
  });
});

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
      const peer = await server();
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
    const peer = await server({}, { request: (stream) => stream.sendHeaders({ ':status': 200 }, true) });
    peer.connection.trust();
    for (let i = 0; i < 3 * burst; i++) {
      await peer.send(headers(next(), REQUEST), reset(id, 0));
      await peer.send(reset(id, 8));
    }
    assert.equal(peer.connection.destroyed, false);
  });

  test('a ping for each piece of data that the peer gets is no flood', async () => {
    const peer = await server(
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
      const peer = await server({}, { request: (stream) => stream.sendHeaders({ ':status': 200 }, true) });
      // One is gone: the SETTINGS of the greeting.
      for (let i = 0; i < burst - 1; i++) await peer.send(headers(next(), REQUEST, end));
      assert.equal(peer.connection.destroyed, false);
      await peer.send(headers(next(), REQUEST, end));
      await endsWith(peer, ErrorCode.EnhanceYourCalm);
    });
  }

  test('who sends one is not listened to any more, and may come back in a second', async () => {
    const peer = await server();
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
    const peer = await server({ trustedFlood: { burst: 100, perSecond: 1 } });
    peer.connection.trust();
    for (let i = 0; i < 99; i++) await peer.send(frame(77, 0, 0));
    assert.equal(peer.connection.destroyed, false);
    await peer.send(frame(77, 0, 0));
    await endsWith(peer, ErrorCode.EnhanceYourCalm);
  });

  test('who goes on asking and does not read the answers is sent away', async () => {
    const peer = await server({ maxStreams: 1e6, flood: { burst: 1e9, perSecond: 1 } });
    peer.onRequest = (heard) => heard.stream.sendHeaders({ ...ANSWER, a: 'x'.repeat(1000) }, true);
    peer.wire.block();
    for (let i = 0; i < 20_000 && !peer.connection.destroyed; i += 100) {
      await peer.send(...Array.from({ length: 100 }, (_, j) => headers(2 * (i + j) + 1, REQUEST, true)));
    }
    assert.ok(peer.connection.destroyed);
    assert.ok(peer.wire.writableLength < 10 << 20);
  });

  test('who does not read the answers to his pings is sent away', async () => {
    const peer = await server({ flood: { burst: 1e9, perSecond: 1 } });
    peer.wire.block();
    const pings = Buffer.concat(Array(10_000).fill(frame(FrameType.Ping, 0, 0, Buffer.alloc(8))));
    for (let i = 0; i < 10 && !peer.connection.destroyed; i++) await peer.send(pings);
    assert.ok(peer.connection.destroyed);
    assert.ok(peer.wire.writableLength < 2 << 20);
  });
});
