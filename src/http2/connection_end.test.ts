import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ANSWER,
  ask,
  clientPeer,
  data,
  FramePeer,
  goAway,
  headers,
  REQUEST,
  reset,
  serverPeer,
  turn,
  windowUpdate,
} from '../../test/support/doubles/http2_peer.ts';
import { ErrorCode } from './error_code.ts';

describe('GOAWAY', () => {
  test('of ours names the last stream that was looked at; those that are open go on, later ones are not looked at', async () => {
    const peer = await serverPeer();
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
    const peer = await clientPeer();
    peer.connection.close();
    assert.deepEqual(await peer.sent(), ['GoAway 0 0']);
    assert.ok(peer.connection.destroyed);
    const late = ask(peer);
    await turn();
    assert.deepEqual(late.said, ['closed 7']);
  });

  test('a peer that does not take our last bytes has 20 s', async () => {
    const peer = await clientPeer();
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
    const peer = await clientPeer();
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
    const peer = await clientPeer();
    const asked = ask(peer);
    await peer.send(goAway(1, ErrorCode.EnhanceYourCalm, 'too_many_pings'));
    peer.wire.push(null);
    await turn();
    assert.deepEqual(asked.said, ['closed 8']);
    assert.match(peer.heard.at(-1) ?? '', /^closed the peer has said GOAWAY too_many_pings$/);
  });

  test('of a client lets its requests finish', async () => {
    const peer = await serverPeer();
    await peer.send(headers(1, REQUEST, true), goAway(0, ErrorCode.NoError));
    assert.equal(peer.connection.destroyed, false);
    peer.streams[0]?.stream.sendHeaders(ANSWER, true);
    assert.deepEqual(peer.heard, ['leaving 0', 'closed']);
  });
});

describe('the end', () => {
  test('of the transport is that of all streams', async () => {
    for (const how of ['end', 'error', 'close'] as const) {
      const peer = await serverPeer();
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
      const peer = await serverPeer({}, {});
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
    const closing = await clientPeer();
    closing.connection.close();
    await turn();
    assert.equal(closing.clock.pendingTimers, 1);
    closing.wire.destroy();
    await turn();
    assert.equal(closing.clock.pendingTimers, 0);
    const lingering = await serverPeer();
    await lingering.send(headers(1, REQUEST));
    lingering.streams[0]?.stream.sendHeaders(ANSWER, true);
    lingering.connection.destroy();
    assert.equal(lingering.clock.pendingTimers, 0);
    const late = await clientPeer();
    late.wire.block();
    late.connection.close();
    late.wire.destroy();
    await turn();
    assert.equal(late.clock.pendingTimers, 0);
  });

  test('leaves no timer behind', async () => {
    const peer = await serverPeer();
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
    const peer = await clientPeer();
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
