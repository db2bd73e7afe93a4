import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TunnelDirectory } from '../../../src/store/tunnel_directory.ts';

/** A directory of a node whose URLs are these. */
export interface TunnelDirectoryUnderTest {
  readonly directory: TunnelDirectory;
  readonly ownUrls: readonly string[];
  /** Resolves when what was announced and withdrawn so far has reached the store. */
  arrived(): Promise<void> | void;
}

const AGENT = 7n;

/** What every TunnelDirectory must do. */
export function tunnelDirectoryContract(
  name: string,
  create: () => Promise<TunnelDirectoryUnderTest> | TunnelDirectoryUnderTest,
): void {
  test(`${name}: an agent that nobody has announced is nowhere`, async () => {
    const { directory } = await create();
    assert.deepEqual(await directory.nodesOf(AGENT), []);
  });

  test(`${name}: the node that has announced an agent is found by each of its URLs`, async () => {
    const { directory, ownUrls, arrived } = await create();
    directory.announce(AGENT);
    await arrived();
    assert.deepEqual([...(await directory.nodesOf(AGENT))].sort(), [...ownUrls].sort());
    assert.deepEqual(await directory.nodesOf(AGENT + 1n), []);
  });

  test(`${name}: what was withdrawn is not found, and what is announced again is`, async () => {
    const { directory, ownUrls, arrived } = await create();
    directory.announce(AGENT);
    directory.withdraw(AGENT);
    await arrived();
    assert.deepEqual(await directory.nodesOf(AGENT), []);
    directory.announce(AGENT);
    await arrived();
    assert.equal((await directory.nodesOf(AGENT)).length, ownUrls.length);
  });

  test(`${name}: a node that has left is found for no agent, and stays so`, async () => {
    const { directory, arrived } = await create();
    directory.announce(AGENT);
    directory.announce(AGENT + 1n);
    await arrived();
    await directory.leave();
    directory.announce(AGENT);
    await arrived();
    assert.deepEqual(await directory.nodesOf(AGENT), []);
    assert.deepEqual(await directory.nodesOf(AGENT + 1n), []);
  });
}
