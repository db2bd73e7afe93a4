import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecordingCall } from '../../test/support/doubles/recording_call.ts';
import { RecordingSink } from '../../test/support/doubles/recording_sink.ts';
import { RecordingSpan } from '../../test/support/doubles/recording_span.ts';
import { recordingLog } from '../../test/support/recording_log.ts';
import type { CallSink } from '../grpc/call.ts';
import type { Log } from '../observability/log.ts';
import { FakeClock } from '../runtime/fake_clock.ts';
import { Scope } from '../runtime/scope.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { createMemoryStore } from '../store/memory/memory_store.ts';
import { TunnelRegistry } from '../tunnel/registry.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { KnownNodes } from './known_nodes.ts';
import type { Peers } from './peers.ts';
import { Router } from './router.ts';
import type { OtherNodes } from './tunnel_search.ts';
import { WaitingRoom } from './waiting_room.ts';
import { Whereabouts } from './whereabouts.ts';

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

function setUp(others?: (deps: { scope: Scope; log: Log }) => OtherNodes) {
  const clock = new FakeClock();
  const { log, lines } = recordingLog();
  const scope = new Scope(clock);
  const tunnels = new TunnelRegistry({ appeared() {}, emptied() {} });
  const waitingRoom = new WaitingRoom({ perAgent: 2, inAll: 10, agentFull: () => {}, full: () => {} });
  const { tunnelDirectory, agentDirectory } = createMemoryStore({ clock });
  const router = new Router({
    tunnels,
    others: others?.({ scope, log }),
    whereabouts: new Whereabouts({
      agents: agentDirectory,
      tunnels: tunnelDirectory,
      lastSeenHereMs: () => undefined,
      clock,
    }),
    waitingRoom,
    scope,
    metrics: { found() {}, aborted() {}, timedOut() {} },
    random: { fraction: () => 0, bytes: (n) => Buffer.alloc(n) },
    log,
  });
  return {
    clock,
    lines,
    tunnels,
    waitingRoom,
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

test('nodes are asked at once for an agent that is not here, and after 10 ms for one whose tunnels are all busy', () => {
  for (const [isHere, delayMs] of [
    [false, 0],
    [true, 10],
  ] as const) {
    let asked = 0;
    const nodesOf = () => {
      asked++;
      return Promise.resolve([]);
    };
    const { router, sink, clock, tunnels, add } = setUp((deps) => ({
      peers: { at: () => undefined, isSelf: () => false } as unknown as Peers,
      nodes: new KnownNodes({ nodesOf }, deps),
    }));
    if (isHere) tunnels.busy(add() as unknown as Tunnel);
    if (isHere) tunnels.take(1n, METHOD);
    router.open(1n, METHOD, sink);
    if (delayMs > 0) {
      clock.advance(delayMs - 1);
      assert.equal(asked, 0);
      clock.advance(1);
    }
    assert.equal(asked, 1);
  }
});

test('after 20 s without a tunnel the call ends, and the log says why', () => {
  const { router, add, sink, clock, lines, tunnels } = setUp();
  router.open(1n, METHOD, sink, { correlationId: () => 'id-1' });
  clock.advance(20_000);
  assert.deepEqual(sink.heard, ['end 4 Agent connection not found. Is agent up to date and connected?']);
  assert.deepEqual(lines, [
    {
      level: 'error',
      message: 'Agent connection not found',
      fields: {
        grpc_service: 's',
        grpc_method: 'Do',
        agent_id: 1n,
        error: 'context deadline exceeded',
        correlation_id: 'id-1',
        hint: "is the agent's pod running, and does its log say that it is connected?",
      },
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

describe('a traced call', () => {
  const summary = ({ name, attributes, ends }: RecordingSpan) => ({ name, attributes, ends });
  const routing = (ends: (string | undefined)[]) => ({ name: 'routing', attributes: { agent_id: 1 }, ends });

  test('has a span for the way to its tunnel and one for the tunnel, which ends with the call', () => {
    const { router, add, sink } = setUp();
    const tunnel = add();
    const span = new RecordingSpan();
    const call = router.open(1n, METHOD, sink, { span });
    const open = { name: 'tunnel', attributes: { 'rpc.method': 's/Do' }, ends: [] };
    assert.deepEqual(span.children.map(summary), [routing([undefined]), open]);

    call.write(Buffer.from('a'));
    call.halfClose();
    tunnel.opened[0]!.sink.message(Buffer.from('b'));
    tunnel.opened[0]!.sink.end({ code: StatusCode.Unavailable, message: 'gone' });
    assert.deepEqual(tunnel.call.messages.map(String), ['a']);
    assert.deepEqual(sink.heard, ['message b', 'end 14 gone']);
    assert.deepEqual(summary(span.children[1]!), {
      name: 'tunnel',
      attributes: { 'rpc.method': 's/Do', 'rpc.grpc.status_code': 14 },
      ends: ['rpc error: code = Unavailable desc = gone'],
    });
    call.cancel({ code: StatusCode.Canceled, message: '' });
    assert.equal(span.children[1]!.ends.length, 1);
  });

  test('that waits ends its search when the tunnel comes, when none comes, or when nobody waits any more', () => {
    const { router, add, sink, clock } = setUp();
    const found = new RecordingSpan();
    router.open(1n, METHOD, sink, { span: found });
    assert.deepEqual(found.children.map(summary), [routing([])]);
    add();
    assert.deepEqual(found.children.map(summary)[0], routing([undefined]));

    const late = new RecordingSpan();
    router.open(1n, METHOD, sink, { span: late });
    clock.advance(20_000);
    assert.deepEqual(late.children.map(summary), [routing(['Agent connection not found'])]);

    const left = new RecordingSpan();
    router.open(1n, METHOD, sink, { span: left }).cancel({ code: StatusCode.Canceled, message: '' });
    assert.deepEqual(left.children.map(summary), [routing(['given up by the caller'])]);
  });
});

test('where enough calls wait for an agent, the next one is refused at once; one that may not wait any more makes room', async () => {
  const { router, add, sink, clock, waitingRoom } = setUp();
  const first = router.open(1n, METHOD, new RecordingSink());
  router.open(1n, METHOD, new RecordingSink());
  const refused = router.open(1n, METHOD, sink);
  refused.write(Buffer.from('head'));
  assert.deepEqual(sink.heard, []);
  await Promise.resolve();
  assert.deepEqual(sink.heard, ['end 8 too many requests wait for a connection of this agent, try again later']);
  assert.equal(clock.pendingTimers, 2);

  first.cancel({ code: StatusCode.Canceled, message: '' });
  assert.equal(waitingRoom.waiting, 1);
  add();
  assert.equal(waitingRoom.waiting, 0);
  const late = new RecordingSink();
  router.open(1n, METHOD, late);
  clock.advance(20_000);
  assert.equal(late.heard.length, 1);
  assert.equal(waitingRoom.waiting, 0);
});

test('a call that was refused and is cancelled before it hears so hears nothing', async () => {
  const { router, sink } = setUp();
  for (let i = 0; i < 2; i++) router.open(1n, METHOD, new RecordingSink());
  router.open(1n, METHOD, sink).cancel({ code: StatusCode.Canceled, message: '' });
  await Promise.resolve();
  assert.deepEqual(sink.heard, []);
});
