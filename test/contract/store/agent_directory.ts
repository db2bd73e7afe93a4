import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AgentDirectory, ConnectedAgent } from '../../../src/store/agent_directory.ts';

/** A directory with a clock of its own. */
export interface DirectoryUnderTest {
  readonly directory: AgentDirectory;
  advance(ms: number): Promise<void> | void;
}

/** What every AgentDirectory must do. */
export function agentDirectoryContract(
  name: string,
  create: () => Promise<DirectoryUnderTest> | DirectoryUnderTest,
): void {
  test(`${name}: agents are counted, not their pods`, async () => {
    const { directory } = await create();
    assert.equal(await directory.count(), 0);
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(1n, 2n), 1000);
    await directory.register(pod(2n, 3n), 1000);
    assert.equal(await directory.count(), 2);
  });

  test(`${name}: an agent is there until its last pod has gone`, async () => {
    const { directory } = await create();
    await directory.register(pod(1n, 1n), 1000);
    await directory.register(pod(1n, 2n), 1000);
    await directory.unregister(pod(1n, 1n));
    assert.equal(await directory.count(), 1);
    await directory.unregister(pod(1n, 2n));
    assert.equal(await directory.count(), 0);
  });

  test(`${name}: who is not there can go, and takes nobody else along`, async () => {
    const { directory } = await create();
    await directory.unregister(pod(1n, 1n));
    await directory.register(pod(1n, 1n), 1000);
    await directory.unregister(pod(1n, 2n));
    await directory.unregister(pod(2n, 1n));
    assert.equal(await directory.count(), 1);
  });

  test(`${name}: who does not say that it is still there is forgotten`, async () => {
    const { directory, advance } = await create();
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

  test(`${name}: numbers of 63 bits are told apart`, async () => {
    const { directory } = await create();
    await directory.register(pod(2n ** 62n, 2n ** 62n), 1000);
    await directory.register(pod(2n ** 62n, 2n ** 62n + 1n), 1000);
    await directory.unregister(pod(2n ** 62n, 2n ** 62n));
    assert.equal(await directory.count(), 1);
    await directory.register(pod(2n ** 62n + 1n, 1n), 1000);
    assert.equal(await directory.count(), 2);
  });
}

function pod(agentId: bigint, connectionId: bigint): ConnectedAgent {
  return { agentId, projectId: 7n, connectionId };
}
