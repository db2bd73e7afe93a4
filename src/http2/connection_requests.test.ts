import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ANSWER,
  ask,
  CALL,
  clientPeer,
  data,
  endsWith,
  FramePeer,
  frame,
  HeardStream,
  headers,
  joined,
  REQUEST,
  reset,
  serverPeer,
  settings,
  settingsAck,
  turn,
} from '../../test/support/doubles/http2_peer.ts';
import { ErrorCode } from './error_code.ts';
import { Flag, FrameType } from './frame.ts';
import { encodeHeaders } from './hpack/encoder.ts';
import { newPeerSettings, readSettings } from './settings.ts';

describe('requests', () => {
  test('come with their headers, by name and as they came; body, trailers and end follow', async () => {
    const lists: (readonly string[])[] = [];
    const peer = await serverPeer(
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
    const peer = await serverPeer();
    await peer.send(headers(1, REQUEST), frame(FrameType.Data, Flag.Padded, 1, Buffer.from('\x03abc\0\0\0')));
    await peer.send(frame(FrameType.Data, Flag.Padded | Flag.EndStream, 1, Buffer.from('\x00')));
    assert.deepEqual(peer.streams[0]?.said, ['data abc', 'ended']);
  });

  test('a block may come in pieces', async () => {
    const peer = await serverPeer();
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
    const peer = await serverPeer({ maxStreams: 2 });
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
    const peer = await serverPeer(limits, { refused: (limit) => void refused.push(limit) });
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
    const peer = await serverPeer();
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
    const peer = await serverPeer();
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
    const peer = await serverPeer();
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
    const peer = await serverPeer();
    await peer.send(headers(1, REQUEST, true), reset(1, ErrorCode.NoError));
    assert.deepEqual(peer.streams[0]?.said, ['ended', 'closed 8']);
  });

  test('a defect of the handler ends the connection and is not swallowed', async () => {
    const peer = await serverPeer();
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
    const peer = await clientPeer();
    const asked = ask(peer);
    asked.stream.end();
    assert.deepEqual(await peer.sent(), ['Headers 1 :method POST :scheme http :path /x', 'Data 1 0 end']);
    await peer.send(headers(1, { ':status': 103 }), headers(1, ANSWER), data(1, 'body'), headers(1, { t: 'x' }, true));
    assert.deepEqual(asked.said, ['headers 200', 'data body', 'trailers t x', 'ended', 'closed 0']);
    assert.equal(peer.connection.openStreams, 0);
  });

  test('a reset without an error after all of it is no loss', async () => {
    const peer = await clientPeer();
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
