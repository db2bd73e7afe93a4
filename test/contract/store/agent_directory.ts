import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AgentMetaSchema } from '../../../src/gen/gitlab/agent/entity/entity_pb.ts';
import type { AgentDirectory, ConnectedAgent } from '../../../src/store/agent_directory.ts';

/** A directory with a clock of its own. */
export interface DirectoryUnderTest {
  readonly directory: AgentDirectory;
  advance(ms: number): Promise<void> | void;
  /** That clock: milliseconds since the epoch. */
  nowMs(): number;
}

/** What every AgentDirectory must do. */
export function agentDirectoryContract(
  name: string,
  setUp: () => Promise<DirectoryUnderTest> | DirectoryUnderTest,
): void {
  test(`${name}: agents are counted, not their pods`, async () => {
    const { directory } = await setUp();
    assert.equal(await directory.count(), 0);
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(1n, 2n), 1000);
    await directory.register(pod(2n, 3n), 1000);
    assert.equal(await directory.count(), 2);
  });

  test(`${name}: an agent is there until its last pod has gone`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(1n, 2n), 1000);
    await directory.unregister(pod(1n, 1n));
    assert.equal(await directory.count(), 1);
    await directory.unregister(pod(1n, 2n));
    assert.equal(await directory.count(), 0);
  });

  test(`${name}: who is not there can go, and takes nobody else along`, async () => {
    const { directory } = await setUp();
    await directory.unregister(pod(1n, 1n));
    await directory.register(pod(1n, 1n), 1000);
    await directory.unregister(pod(1n, 2n));
    await directory.unregister(pod(2n, 1n));
    assert.equal(await directory.count(), 1);
  });

  test(`${name}: who does not say that it is still there is forgotten`, async () => {
    const { directory, advance } = await setUp();
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(2n, 2n), 1000);
    await advance(900);
    await directory.register(pod(1n, 1n), 1000);
    assert.equal(await directory.count(), 2);
    await advance(100);
    assert.equal(await directory.count(), 1);
    await advance(900);
    assert.equal(await directory.count(), 0);
  });

  test(`${name}: pods are found by their agents, with what they said of themselves`, async () => {
    const { directory } = await setUp();
    const first = pod(1n, 1n, { agentMeta: meta('v19.3.0', 'a-1') });
    await directory.register(first, 1000);
    await directory.register(pod(1n, 2n), 1000);
    await directory.register(pod(2n, 3n), 1000);
    assert.deepEqual(connectionIds(await directory.byAgentIds([1n])), [1n, 2n]);
    assert.deepEqual(connectionIds(await directory.byAgentIds([2n, 99n, 1n, 2n])), [1n, 2n, 3n]);
    assert.deepEqual(await directory.byAgentIds([]), []);
    const [found] = (await directory.byAgentIds([1n])).filter(({ connectionId }) => connectionId === 1n);
    assert.deepEqual(found, first);
  });

  test(`${name}: pods are found by the projects of their agents`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(2n, 2n, { projectId: 8n }), 1000);
    await directory.register(pod(3n, 3n), 1000);
    assert.deepEqual(connectionIds(await directory.byProjectIds([7n])), [1n, 3n]);
    assert.deepEqual(connectionIds(await directory.byProjectIds([8n, 7n, 8n])), [1n, 2n, 3n]);
    await directory.unregister(pod(2n, 2n, { projectId: 8n }));
    assert.deepEqual(await directory.byProjectIds([8n, 9n]), []);
  });

  test(`${name}: an agent whose configuration has moved is found in its new project only`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(1n, 1n, { projectId: 8n }), 1000);
    assert.deepEqual(await directory.byProjectIds([7n]), []);
    assert.deepEqual(connectionIds(await directory.byProjectIds([8n])), [1n]);
    assert.deepEqual(connectionIds(await directory.byAgentIds([1n])), [1n]);
  });

  test(`${name}: pods that have gone, or are silent, are not found`, async () => {
    const { directory, advance } = await setUp();
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(1n, 2n), 2000);
    await directory.register(pod(1n, 3n), 2000);
    await directory.unregister(pod(1n, 3n));
    assert.deepEqual(connectionIds(await directory.byAgentIds([1n])), [1n, 2n]);
    await advance(1000);
    assert.deepEqual(connectionIds(await directory.byAgentIds([1n])), [2n]);
    assert.deepEqual(connectionIds(await directory.byProjectIds([7n])), [2n]);
    await advance(1000);
    assert.deepEqual(await directory.byAgentIds([1n]), []);
    assert.deepEqual(await directory.byProjectIds([7n]), []);
  });

  test(`${name}: a pod that has started again is there once, another pod beside it`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(1n, 1n, { agentMeta: meta('v19.2.0', 'a-1') }), 1000);
    await directory.register(pod(1n, 2n, { agentMeta: meta('v19.3.0', 'a-1') }), 1000);
    assert.deepEqual(connectionIds(await directory.byAgentIds([1n])), [2n]);
    await directory.register(pod(1n, 3n, { agentMeta: meta('v19.3.0', 'a-2') }), 1000);
    await directory.register(pod(1n, 4n, { agentMeta: meta('v19.3.0', 'a-1', 'elsewhere') }), 1000);
    await directory.register(pod(2n, 5n, { agentMeta: meta('v19.3.0', 'a-1') }), 1000);
    assert.deepEqual(connectionIds(await directory.byAgentIds([1n, 2n])), [2n, 3n, 4n, 5n]);
  });

  test(`${name}: an agent has 200 pods at the most, those that were heard of last`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(2n, 1n), 10_000);
    for (let id = 1n; id <= 201n; id++) await directory.register(pod(1n, id, { connectedAtMs: Number(id) }), 10_000);
    await directory.register(pod(1n, 2n, { connectedAtMs: 202 }), 10_000); // it says again that it is there
    await directory.register(pod(1n, 202n, { connectedAtMs: 203 }), 10_000);
    const ids = connectionIds(await directory.byAgentIds([1n]));
    assert.deepEqual([ids.length, ids.includes(1n), ids.includes(2n), ids.includes(3n)], [200, false, true, false]);
    assert.equal((await directory.byAgentIds([2n])).length, 1, 'others have theirs');
  });

  test(`${name}: a pod that says again that it is there is there as it says now`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(1n, 1n, { agentMeta: meta('v19.2.0', 'a-1') }), 1000);
    const now = pod(1n, 1n, { agentMeta: meta('v19.3.0', 'a-1'), connectedAtMs: 5000 });
    await directory.register(now, 1000);
    assert.deepEqual(await directory.byAgentIds([1n]), [now]);
  });

  test(`${name}: agents are counted by the versions of their pods`, async () => {
    const { directory, advance } = await setUp();
    assert.deepEqual(await directory.countByVersion(), new Map());
    await directory.register(pod(9n, 9n, { agentMeta: meta('v1.0.0') }), 500);
    await advance(500);
    await directory.register(pod(1n, 1n, { agentMeta: meta('v19.2.0') }), 1000);
    await directory.register(pod(1n, 2n, { agentMeta: meta('v19.3.0') }), 1000);
    await directory.register(pod(2n, 3n, { agentMeta: meta('v19.3.0') }), 1000);
    await directory.register(pod(2n, 4n, { agentMeta: meta('v19.3.0') }), 1000);
    await directory.register(pod(3n, 5n), 1000);
    const expected = [
      ['', 1],
      ['v19.2.0', 1],
      ['v19.3.0', 2],
    ];
    assert.deepEqual([...(await directory.countByVersion())].sort(), expected);
  });

  test(`${name}: it is remembered when an agent was last heard of, also when it has gone`, async () => {
    const { directory, advance, nowMs } = await setUp();
    assert.equal(await directory.lastSeenMs(1n), undefined);
    const first = nowMs();
    await directory.register(pod(1n, 1n, { connectedAtMs: first }), 1000);
    await directory.register(pod(2n, 2n, { connectedAtMs: first }), 1000);
    assert.equal(await directory.lastSeenMs(1n), first);
    await advance(500);
    const second = nowMs();
    await directory.register(pod(1n, 1n, { connectedAtMs: second }), 1000);
    assert.equal(await directory.lastSeenMs(1n), second);
    await directory.unregister(pod(1n, 1n));
    await advance(60_000);
    assert.equal(await directory.count(), 0);
    assert.equal(await directory.lastSeenMs(1n), second, 'said that it goes');
    assert.equal(await directory.lastSeenMs(2n), first, 'fell silent');
    assert.equal(await directory.lastSeenMs(3n), undefined);
  });

  test(`${name}: an agent that is back is heard of again`, async () => {
    const { directory, advance, nowMs } = await setUp();
    await directory.register(pod(1n, 1n, { connectedAtMs: nowMs() }), 1000);
    await directory.unregister(pod(1n, 1n));
    await advance(5000);
    const back = nowMs();
    await directory.register(pod(1n, 2n, { connectedAtMs: back }), 1000);
    assert.equal(await directory.lastSeenMs(1n), back);
    assert.equal(await directory.count(), 1);
  });

  test(`${name}: numbers of 63 bits are told apart`, async () => {
    const { directory } = await setUp();
    await directory.register(pod(2n ** 62n, 2n ** 62n), 1000);
    await directory.register(pod(2n ** 62n, 2n ** 62n + 1n), 1000);
    await directory.unregister(pod(2n ** 62n, 2n ** 62n));
    assert.equal(await directory.count(), 1);
    await directory.register(pod(2n ** 62n + 1n, 1n), 1000);
    assert.equal(await directory.count(), 2);
  });
}

function pod(agentId: bigint, connectionId: bigint, more: Partial<ConnectedAgent> = {}): ConnectedAgent {
  return { agentId, projectId: 7n, connectionId, agentMeta: undefined, connectedAtMs: 1000, ...more };
}

const meta = (version: string, podName = '', podNamespace = 'agents') =>
  create(AgentMetaSchema, { version, podName, podNamespace });

function connectionIds(agents: readonly ConnectedAgent[]): bigint[] {
  return agents.map(({ connectionId }) => connectionId).sort((a, b) => (a < b ? -1 : 1));
}
