import assert from 'node:assert/strict';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../test/support/wait.ts';
import { NodeTokens } from '../auth/node_token.ts';
import { Secret } from '../config/secret.ts';
import type { Rounds } from '../net/rounds.ts';
import { WindowBudget } from '../net/windows.ts';
import { Backoff } from '../runtime/backoff.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { systemRandom } from '../runtime/random.ts';
import { parseNodeUrl } from './node_url.ts';
import { Peer } from './peer.ts';

const HOUR_MS = 3_600_000;

test('a connection that nobody has used for an hour is closed, and that is told', async (t) => {
  const server = createServer();
  const sessions = { open: 0 };
  server.on('session', (session) => {
    sessions.open++;
    session.once('close', () => sessions.open--).on('error', () => {});
  });
  server.on('stream', (stream) => stream.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const url = `grpc://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clock = new FakeClock();
  const told: unknown[] = [];
  const peer = new Peer({
    url,
    endpoint: parseNodeUrl(url) ?? assert.fail(url),
    tls: { secureContext: () => assert.fail('no TLS here'), serverName: '' },
    tokens: new NodeTokens(new Secret(Buffer.alloc(32, 1)), clock),
    userAgent: 'gitlab-kas/v1/abc',
    windows: new WindowBudget({ perConnectionBytes: 1 << 20, totalBytes: 1 << 20 }),
    rounds: { add: () => () => {} } as unknown as Rounds, // it is looked at below
    backoff: new Backoff({ initMs: 1, maxMs: 1, resetMs: 1, factor: 1, jitter: 0 }, { clock, random: systemRandom }),
    clock,
    outgoing: undefined,
    onDown: (reason) => told.push(reason),
    onIdle: () => told.push('idle'),
  });
  peer.ask('/s/M', {}, { ready() {}, noTunnel() {}, failed() {} });
  await eventually('the connection', () => sessions.open === 1);
  peer.answered();
  peer.streamClosed();
  peer.check(clock.monotonicMs());
  assert.deepEqual(told, []);
  clock.advance(HOUR_MS + 1);
  peer.check(clock.monotonicMs());
  assert.deepEqual(told, ['idle']);
  await eventually('its end', () => sessions.open === 0);
  peer.check(clock.monotonicMs());
  assert.deepEqual(told, ['idle'], 'once');
});
