import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordingCall } from '../../test/support/doubles/recording_call.ts';
import { RecordingSink } from '../../test/support/doubles/recording_sink.ts';
import { recordingLog } from '../../test/support/recording_log.ts';
import type { CallSink } from '../grpc/call.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { TunnelRegistry } from '../tunnel/registry.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { Router } from './router.ts';

const METHOD = '/s/Do';

/** What router and registry use of a tunnel. */
class FakeTunnel {
  readonly agentId = 1n;
  readonly methods = new Set([METHOD]);
  readonly call = new RecordingCall();
  readonly opened: { method: string; sink: CallSink }[] = [];

  open(method: string, sink: CallSink): RecordingCall {
    this.opened.push({ method, sink });
    return this.call;
  }
}

function setUp() {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const tunnels = new TunnelRegistry();
  const router = new Router({ tunnels, scope: new Scope(clock), log });
  return {
    clock,
    lines,
    tunnels,
    router,
    sink: new RecordingSink(),
    add: () => {
      const tunnel = new FakeTunnel();
      tunnels.add(tunnel as unknown as Tunnel);
      return tunnel;
    },
  };
}

test('an idle tunnel is used at once, without a timer', () => {
  const { router, add, sink, clock } = setUp();
  const tunnel = add();
  assert.equal(router.open(1n, METHOD, sink), tunnel.call);
  assert.deepEqual(tunnel.opened, [{ method: METHOD, sink }]);
  assert.equal(clock.pendingTimers, 0);
});

test('a call waits for a tunnel, which gets what has been written', () => {
  const { router, add, sink, clock, lines } = setUp();
  const call = router.open(1n, METHOD, sink);
  call.write(Buffer.from('head'));
  clock.advance(19_999);
  const tunnel = add();
  assert.deepEqual(tunnel.opened, [{ method: METHOD, sink }]);
  assert.deepEqual(tunnel.call.messages.map(String), ['head']);
  assert.equal(clock.pendingTimers, 0);
  clock.advance(20_000);
  assert.deepEqual(sink.heard, []);
  assert.deepEqual(lines, []);
});

test('after 20 s without a tunnel the call ends, and the log says why', () => {
  const { router, add, sink, clock, lines, tunnels } = setUp();
  router.open(1n, METHOD, sink);
  clock.advance(20_000);
  assert.deepEqual(sink.heard, ['end 4 Agent connection not found. Is agent up to date and connected?']);
  assert.deepEqual(lines, [
    {
      level: 'error',
      message: 'Agent connection not found',
      fields: { agent_id: 1n, error: 'context deadline exceeded' },
    },
  ]);
  const tunnel = add();
  assert.equal(tunnels.take(1n, METHOD), tunnel as unknown as Tunnel);
});

test('a call that is cancelled while it waits leaves neither timer nor waiter', () => {
  const { router, add, sink, clock, lines, tunnels } = setUp();
  router.open(1n, METHOD, sink).cancel({ code: StatusCode.Canceled, message: '' });
  assert.equal(clock.pendingTimers, 0);
  const tunnel = add();
  assert.equal(tunnels.take(1n, METHOD), tunnel as unknown as Tunnel);
  assert.deepEqual([sink.heard, lines, tunnel.opened], [[], [], []]);
});

test('calls get tunnels in the order they came', () => {
  const { router, add, clock } = setUp();
  const sinks = [new RecordingSink(), new RecordingSink()];
  for (const sink of sinks) router.open(1n, METHOD, sink);
  for (const sink of sinks) assert.equal(add().opened[0]?.sink, sink);
  assert.equal(clock.pendingTimers, 0);
});

test('a tunnel for another method, or another agent, is no tunnel', () => {
  const { router, add, clock, sink } = setUp();
  const tunnel = add();
  router.open(1n, '/s/Other', sink);
  router.open(2n, METHOD, sink);
  assert.deepEqual(tunnel.opened, []);
  assert.equal(clock.pendingTimers, 2);
});
