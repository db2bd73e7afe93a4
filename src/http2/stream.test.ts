import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  data,
  FramePeer,
  HeardStream,
  headers,
  joined,
  REQUEST,
  reset,
  settings,
  turn,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import type { ConnectionOptions } from './connection.ts';
import { ErrorCode } from './error_code.ts';

const ANSWER = { ':status': 200 };
const CALL = { ':method': 'POST', ':scheme': 'http', ':path': '/x' };

/** A request to our server, of which nothing is read yet. */
async function paused(options: Partial<ConnectionOptions> = {}) {
  const peer = new FramePeer('server', options);
  peer.onRequest = (heard) => heard.stream.open(heard);
  await peer.greet();
  await peer.send(headers(1, REQUEST));
  const heard = peer.streams[0]!;
  return { peer, heard, stream: heard.stream };
}

/** The same, read, and with windows for large answers. */
async function asked() {
  const all = await paused();
  all.stream.resume();
  await all.peer.send(windowUpdate(0, 1 << 28), windowUpdate(1, 1 << 28));
  return all;
}

async function turns(n = 30): Promise<void> {
  for (let i = 0; i < n; i++) await turn();
}

describe('reading', () => {
  test('begins with `resume`: what came before is kept, in order', async () => {
    const { peer, heard, stream } = await paused();
    await peer.send(data(1, 'a'), data(1, 'b'), headers(1, { t: 'x' }, true));
    assert.deepEqual(heard.said, []);
    assert.equal(stream.remoteEnded, true);
    stream.resume();
    assert.deepEqual(heard.said, ['data ab', 'trailers t x', 'ended']);
  });

  test('stops at `pause`, in the middle of what was kept as well', async () => {
    const { peer, heard, stream } = await paused();
    const large = Buffer.alloc(4000, 'x');
    await peer.send(data(1, large), data(1, large), data(1, 'c', true));
    heard.on = () => stream.pause();
    for (const expected of [['data 4000'], ['data 4000'], ['data c'], ['ended'], []]) {
      stream.resume();
      assert.deepEqual(heard.said, expected);
    }
  });

  test('what comes while paused waits for what came before', async () => {
    const { peer, heard, stream } = await paused();
    stream.resume();
    await peer.send(data(1, 'a'));
    stream.pause();
    await peer.send(data(1, 'b'));
    heard.on = (word) => {
      if (word === 'data b') stream.pause();
    };
    stream.resume();
    await peer.send(data(1, 'c'), data(1, 'd', true));
    assert.deepEqual(heard.said, ['data a', 'data b']);
    heard.on = () => {};
    stream.resume();
    assert.deepEqual(heard.said, ['data cd', 'ended']);
  });

  test('`pause` and `resume` within what is heard are no more than one reading', async () => {
    const { peer, heard, stream } = await paused();
    heard.on = () => {
      stream.pause();
      stream.resume();
    };
    const large = Buffer.alloc(4000);
    await peer.send(data(1, large), data(1, large), data(1, 'b', true));
    stream.resume();
    assert.deepEqual(heard.said, ['data 4000', 'data 4000', 'data b', 'ended']);
  });

  test('the end waits for a reader who has paused with the last byte', async () => {
    const { peer, heard, stream } = await paused();
    heard.on = () => stream.pause();
    stream.resume();
    await peer.send(data(1, 'a', true));
    assert.deepEqual(heard.said, ['data a']);
    stream.resume();
    assert.deepEqual(heard.said, ['ended']);
  });

  test('a large piece is kept as it came, small ones are copied together', async () => {
    const { peer, heard, stream } = await paused();
    const large = data(1, Buffer.alloc(16_000, 'x'));
    await peer.send(large);
    for (let i = 0; i < 1000; i++) await peer.send(data(1, Buffer.from([i])));
    stream.resume();
    assert.deepEqual(
      Buffer.concat(heard.bytes),
      Buffer.concat([Buffer.alloc(16_000, 'x'), Buffer.from(Array.from({ length: 1000 }, (_, i) => i))]),
    );
    assert.equal(heard.bytes[0]?.length, 16_000);
    assert.ok(heard.bytes.length < 20, `${heard.bytes.length} pieces`);
  });

  test('a crumb does not keep more than a little room, however it comes', async () => {
    for (const size of [1, 15, 600]) {
      const { peer, heard, stream } = await paused();
      await peer.send(data(1, Buffer.alloc(size))); // in a read of its own
      stream.resume();
      const room = heard.bytes[0]?.buffer.byteLength ?? 0;
      assert.ok(room <= 1024, `${size} bytes keep ${room}`);
    }
  });

  test('crumbs that come in reads of their own are copied together as well', async () => {
    const { peer, heard, stream } = await paused();
    for (let i = 0; i < 2000; i++) await peer.send(data(1, Buffer.from('twenty characters ab')));
    stream.resume();
    assert.equal(
      heard.bytes.reduce((sum, { length }) => sum + length, 0),
      40_000,
    );
    assert.ok(heard.bytes.length < 10, `${heard.bytes.length} pieces`);
  });

  test('a reset while paused drops what waits', async () => {
    const { peer, heard, stream } = await paused();
    await peer.send(data(1, 'a', true), reset(1, 8));
    stream.resume();
    assert.deepEqual(heard.said, ['closed 8']);
  });

  test('a reader may reset the stream from within, whatever it hears', async () => {
    for (const word of ['data 4000', 'data b', 'trailers t x', 'ended']) {
      for (const kept of [true, false]) {
        const { peer, heard, stream } = await paused();
        heard.on = (heardNow) => {
          if (heardNow === word) stream.reset(ErrorCode.Cancel);
        };
        const conversation = [data(1, Buffer.alloc(4000)), data(1, 'b'), headers(1, { t: 'x' }, true)];
        if (!kept) stream.resume();
        await peer.send(...conversation);
        stream.resume();
        const { said } = heard;
        assert.deepEqual(said.slice(-2), [word, 'closed 8'], `${kept ? 'kept' : 'as it comes'}: ${said}`);
        assert.deepEqual(await peer.sent(), ['RstStream 1 8']);
        await peer.send(headers(3, REQUEST, true));
        assert.equal(peer.streams.length, 2);
      }
    }
  });
});

describe('writing', () => {
  test('an answer whose trailers are none ends all the same', async () => {
    const { peer, stream } = await asked();
    await peer.send(data(1, '', true));
    stream.sendHeaders(ANSWER);
    stream.end({});
    assert.deepEqual(await peer.sent(), ['Headers 1 :status 200', 'Headers 1 end']);
  });

  test('trailers follow the data that waits', async () => {
    const { peer, heard, stream } = await paused();
    await peer.send(data(1, '', true), settings([4, 3]));
    stream.resume();
    stream.sendHeaders(ANSWER);
    stream.write(Buffer.from('abcdef'));
    stream.end({ t: 'x' });
    assert.deepEqual(await peer.sent(), ['Settings ack', 'Headers 1 :status 200', 'Data 1 3']);
    await peer.send(windowUpdate(1, 10));
    assert.deepEqual(await peer.sent(), ['Data 1 3', 'Headers 1 end t x']);
    assert.deepEqual(heard.said, ['ended', 'closed 0']);
  });

  test('nothing, behind data that waits, does not swallow the end', async () => {
    const { peer, heard, stream } = await paused();
    await peer.send(data(1, '', true), settings([4, 3]));
    stream.resume();
    stream.sendHeaders(ANSWER);
    stream.write(Buffer.from('abcdef'));
    stream.write(Buffer.alloc(0));
    stream.end();
    await peer.sent();
    await peer.send(windowUpdate(1, 10));
    assert.deepEqual(await peer.sent(), ['Data 1 3 end']);
    assert.deepEqual(heard.said, ['ended', 'closed 0']);
  });

  test('says when to wait, and when to go on, once', async () => {
    const { peer, heard, stream } = await asked();
    peer.wire.block();
    stream.sendHeaders(ANSWER);
    let written = 0;
    while (stream.write(Buffer.alloc(10_000))) written += 10_000;
    assert.ok(written >= 128 << 10 && written < 300_000, `${written} bytes`);
    assert.equal(stream.write(Buffer.alloc(0)), false);
    await turns();
    assert.deepEqual(heard.said, []);
    peer.wire.unblock();
    await turns();
    assert.deepEqual(heard.said, ['drained']);
    assert.equal(
      peer.frames.filter(({ type }) => type === 0).reduce((sum, { payload }) => sum + payload.length, 0),
      written + 10_000,
    );
  });

  test('many small pieces are to wait earlier: each costs more than its bytes', async () => {
    const { peer, stream } = await paused();
    await peer.send(settings([4, 0]));
    stream.sendHeaders(ANSWER);
    let pieces = 0;
    while (stream.write(Buffer.alloc(1))) pieces++;
    assert.ok(pieces < 2000, `${pieces} pieces`);
  });

  test('who writes on when told to go on, or ends, loses nothing', async () => {
    const { peer, heard, stream } = await asked();
    await peer.send(data(1, '', true));
    stream.sendHeaders(ANSWER);
    let left = 100;
    heard.on = (word) => {
      if (word === 'drained') fill();
    };
    const fill = () => {
      while (left > 0) {
        left--;
        if (!stream.write(Buffer.alloc(20_000, left))) return;
      }
      stream.end({ t: 'x' });
    };
    fill();
    await turns(200);
    const body = peer.frames.filter(({ type }) => type === 0).map(({ payload }) => payload);
    assert.deepEqual(
      Buffer.concat(body),
      Buffer.concat(Array.from({ length: 100 }, (_, i) => Buffer.alloc(20_000, 99 - i))),
    );
    assert.equal((await peer.sent()).at(-1), 'Headers 1 end t x');
    assert.equal(heard.said.at(-1), 'closed 0');
  });

  test('of a request that waits for its turn goes on when it has come, however full the output is', async () => {
    const peer = new FramePeer('client');
    await peer.greet([3, 1], [4, 1 << 28]);
    await peer.send(windowUpdate(0, 1 << 28));
    const first = new HeardStream(peer.connection.request(CALL)).listen();
    const second = new HeardStream(peer.connection.request(CALL)).listen();
    second.stream.write(Buffer.alloc(500_000));
    second.stream.end();
    first.stream.write(Buffer.alloc(300_000)); // so that streams which wait are looked at
    await turns();
    first.stream.write(Buffer.alloc(100_000));
    first.stream.reset(ErrorCode.Cancel);
    await turns();
    const bytes = peer.frames.filter(({ type, streamId }) => type === 0 && streamId === 3);
    assert.equal(
      bytes.reduce((sum, { payload }) => sum + payload.length, 0),
      500_000,
    );
    assert.equal((await peer.sent()).at(-1)?.endsWith(' end'), true);
  });

  test('a reset drops what waits', async () => {
    const { peer, heard, stream } = await paused();
    await peer.send(settings([4, 3]));
    stream.sendHeaders(ANSWER);
    stream.write(Buffer.from('abcdef'));
    stream.end();
    stream.reset(ErrorCode.InternalError);
    await peer.send(windowUpdate(1, 10));
    assert.deepEqual(await peer.sent(), ['Settings ack', 'Headers 1 :status 200', 'Data 1 3', 'RstStream 1 2']);
    assert.deepEqual(heard.said, ['closed 2']);
    assert.equal(stream.write(Buffer.from('x')), true);
    stream.end();
    stream.sendHeaders(ANSWER);
    stream.reset(ErrorCode.Cancel);
    assert.deepEqual(await peer.sent(), []);
    assert.deepEqual(heard.said, []);
  });
});

describe('a defect of whoever uses a stream', () => {
  for (const moment of ['data x', 'trailers t x', 'ended', 'drained', 'closed 8']) {
    test(`costs that stream and no other, and is not swallowed: ${moment}`, async (t) => {
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      const thrown: unknown[] = [];
      process.on('uncaughtException', (error) => thrown.push(error));
      t.after(() => {
        process.removeAllListeners('uncaughtException');
        for (const other of others) process.on('uncaughtException', other);
      });
      const { peer, heard, stream } = await asked();
      await peer.send(headers(3, REQUEST));
      const second = peer.streams[1]!;
      second.stream.resume();
      const defect = new Error('a defect');
      heard.on = (word) => {
        if (word === moment) throw defect;
      };
      if (moment === 'drained') {
        stream.sendHeaders(ANSWER);
        while (stream.write(Buffer.alloc(10_000)));
      } else if (moment === 'closed 8') await peer.send(reset(1, 8));
      else await peer.send(data(1, 'x'), headers(1, { t: 'x' }, true));
      await peer.send(data(3, 'goes on', true));
      await turns();
      assert.deepEqual(thrown, [defect]);
      assert.equal(heard.said.at(-1), moment === 'closed 8' ? 'closed 8' : 'closed 2');
      assert.deepEqual(second.said, ['data goes on', 'ended']);
      assert.equal(peer.connection.destroyed, false);
    });
  }
});

describe('between two of ours', () => {
  test('a body of a megabyte both ways, through small windows and a reader who stops again and again', async () => {
    const { client, server } = joined({ streamWindowBytes: 20_000, connectionWindowBytes: 70_000 });
    const body = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => i % 251));
    server.onRequest = (heard) => {
      heard.on = (word) => {
        if (word.startsWith('data')) {
          heard.stream.pause();
          setImmediate(() => heard.stream.resume());
        } else if (word === 'ended') {
          heard.stream.sendHeaders(ANSWER);
          for (const bytes of heard.bytes) heard.stream.write(bytes);
          heard.stream.end({ t: 'x' });
        }
      };
      heard.listen();
    };
    const heard = new HeardStream(client.connection.request(CALL)).listen();
    const closed = new Promise<void>((resolve) => {
      heard.on = (word) => {
        if (word.startsWith('closed')) resolve();
      };
    });
    for (let at = 0; at < body.length; at += 7777) heard.stream.write(body.subarray(at, at + 7777));
    heard.stream.end();
    await closed;
    assert.deepEqual(heard.said.slice(-3), ['trailers t x', 'ended', 'closed 0']);
    assert.ok(Buffer.concat(heard.bytes).equals(body));
    assert.ok(Buffer.concat(server.streams[0]!.bytes).equals(body));
    assert.equal(server.connection.openStreams, 0);
  });
});
