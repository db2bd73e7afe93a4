import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { recordingLog } from '../../test/support/recording_log.ts';
import { ErrorCode } from '../http2/error_code.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { OutgoingLog } from './outgoing_log.ts';

function setUp() {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const transport = Object.assign(new PassThrough(), { bytesRead: 7, bytesWritten: 9 });
  const watched = new OutgoingLog(log, clock).watch(transport, { kas_url: 'grpc://a:1' });
  const told = () =>
    lines.map(({ level, message, fields }) => {
      assert.equal(fields.kas_url, 'grpc://a:1');
      return [level, message, fields.duration_ms, fields.closed_by ?? fields.error ?? fields.code];
    });
  return { clock, transport, watched, lines, told };
}

test('a connection that is made, gets GOAWAY and is closed by the server', async () => {
  const { clock, transport, watched, lines, told } = setUp();
  clock.advance(3);
  watched.opened();
  watched.sentAway(ErrorCode.NoError, '');
  watched.sentAway(ErrorCode.EnhanceYourCalm, 'too_many_pings');
  clock.advance(40);
  transport.resume().end();
  await turn();
  assert.deepEqual(told(), [
    ['info', 'gRPC connection to a server opened', 3, undefined],
    ['info', 'GOAWAY received', undefined, 'NO_ERROR'],
    ['info', 'GOAWAY received', undefined, 'ENHANCE_YOUR_CALM'],
    ['info', 'gRPC connection to a server closed', 43, 'server'],
  ]);
  assert.equal(lines[2]?.fields.debug, 'too_many_pings');
  assert.deepEqual([lines[3]?.fields.bytes_in, lines[3]?.fields.bytes_out], [7, 9]);
});

test('one that we close', async () => {
  const { transport, watched, told } = setUp();
  watched.opened();
  transport.destroy();
  await turn();
  assert.deepEqual(told().at(-1), ['info', 'gRPC connection to a server closed', 0, 'us']);
});

test('one that is lost: with the first reason; and one that is not made', async () => {
  const lost = setUp();
  lost.watched.opened();
  lost.watched.lost('the node does not answer');
  lost.watched.lost(new Error('destroyed'));
  lost.transport.destroy();
  const missed = setUp();
  missed.watched.lost(new Error('connect ECONNREFUSED 192.0.2.1:1'));
  missed.transport.destroy();
  await turn();
  assert.deepEqual(lost.told().at(-1), ['warn', 'gRPC connection to a server lost', 0, 'the node does not answer']);
  assert.deepEqual(missed.told(), [
    ['warn', 'gRPC connection to a server not made', 0, 'connect ECONNREFUSED 192.0.2.1:1'],
  ]);
});
