import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GrpcStatus } from '../grpc/status.ts';
import { TunnelRegistry } from './registry.ts';
import type { Tunnel } from './tunnel.ts';

const NOBODY = { appeared() {}, emptied() {} };

/** What the registry uses of a tunnel. */
class FakeTunnel {
  readonly agentId: bigint;
  readonly methods: ReadonlySet<string>;
  readonly ended: GrpcStatus[] = [];
  readonly #registry: TunnelRegistry;

  constructor(registry: TunnelRegistry, agentId = 1n, methods = ['/s/A']) {
    this.#registry = registry;
    this.agentId = agentId;
    this.methods = new Set(methods);
  }

  end(status: GrpcStatus): void {
    this.ended.push(status);
    this.#registry.lost(this as unknown as Tunnel);
  }
}

function setUp() {
  const registry = new TunnelRegistry(NOBODY);
  return {
    registry,
    add: (agentId?: bigint, methods?: string[]) => {
      const tunnel = new FakeTunnel(registry, agentId, methods);
      registry.add(tunnel as unknown as Tunnel);
      return tunnel;
    },
    take: (agentId = 1n, method = '/s/A') => registry.take(agentId, method) as unknown as FakeTunnel | undefined,
    wait: (name: string, found: string[], agentId = 1n, method = '/s/A') =>
      registry.wait(agentId, method, () => found.push(name)),
  };
}

test('the oldest idle tunnel is taken first, each once', () => {
  const { add, take } = setUp();
  const tunnels = [add(), add(), add()];
  assert.deepEqual([take(), take(), take()], tunnels);
  assert.equal(take(), undefined);
});

test('a tunnel is taken only for its agent and its methods', () => {
  const { add, take } = setUp();
  const [a, b] = [add(1n, ['/s/A']), add(1n, ['/s/B', '/s/C'])];
  assert.equal(take(2n), undefined);
  assert.equal(take(1n, '/s/D'), undefined);
  assert.equal(take(1n, '/s/C'), b);
  assert.equal(take(1n, '/s/A'), a);
});

test('a new tunnel goes to who has waited longest for what it serves', () => {
  const { add, take, wait } = setUp();
  const found: string[] = [];
  wait('B', found, 1n, '/s/B');
  wait('first A', found);
  wait('second A', found);
  wait('other agent', found, 2n);
  add();
  assert.deepEqual(found, ['first A']);
  add();
  add(1n, ['/s/B']);
  assert.deepEqual(found, ['first A', 'second A', 'B']);
  assert.equal(take(), undefined);
  const idle = add();
  assert.equal(take(), idle);
});

test('who has given up gets nothing, also when he gives up twice', () => {
  const { add, take, wait } = setUp();
  const found: string[] = [];
  const first = wait('first', found);
  const second = wait('second', found);
  first.cancel();
  first.cancel();
  add();
  assert.deepEqual(found, ['second']);
  second.cancel();
  const idle = add();
  assert.equal(take(), idle);
});

test('a lost tunnel is not taken', () => {
  const { registry, add, take } = setUp();
  const gone = add();
  const there = add();
  registry.lost(gone as unknown as Tunnel);
  registry.lost(gone as unknown as Tunnel);
  assert.equal(take(), there);
  registry.lost(there as unknown as Tunnel);
});

test('a waiter who finds, and waits again at once, gets the next one', () => {
  const { registry, add } = setUp();
  const found: number[] = [];
  const again = (n: number) => {
    registry.wait(1n, '/s/A', () => {
      found.push(n);
      if (n < 3) again(n + 1);
    });
  };
  again(1);
  for (let i = 0; i < 3; i++) add();
  assert.deepEqual(found, [1, 2, 3]);
});

test('tunnels are counted with what they do, until the last is gone', () => {
  const { registry, add, take } = setUp();
  const one = add(1n) as unknown as Tunnel;
  add(1n);
  const other = add(2n) as unknown as Tunnel;
  assert.deepEqual(registry.count(), { idle: 3, busy: 0, agents: 2 });
  take(1n);
  registry.busy(one);
  take(2n);
  registry.busy(other);
  assert.deepEqual(registry.count(), { idle: 1, busy: 2, agents: 2 });
  registry.done(other);
  assert.deepEqual(registry.count(), { idle: 1, busy: 1, agents: 1 });
  registry.done(one);
  take(1n);
  assert.deepEqual(registry.count(), { idle: 0, busy: 0, agents: 0 });
});
