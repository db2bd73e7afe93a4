import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';

/** Makes much that survives, and says how large the young generation has become, in MiB: as loaded, and when it may grow. */
const SURVIVORS = `
  import { getHeapSpaceStatistics } from 'node:v8';
  const [small, young] = process.argv.slice(1);
  await import(small);
  const { youngGeneration } = await import(young);
  const fill = () => {
    const kept = [];
    for (let i = 0; i < 300_000; i++) kept.push({ name: 'agent-' + i, tunnels: [i] });
    const { space_size } = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    return space_size / 2 ** 20;
  };
  const before = fill();
  youngGeneration.letGrow();
  console.log(JSON.stringify([before, fill()]));
`;

test('the young generation does not grow before the server has started, and does when it has', {
  skip: process.versions.deno !== undefined && 'there is no such switch on Deno',
}, async () => {
  const flags = ['--max-semi-space-size=16', '--min-semi-space-size=2', '--input-type=module', '--eval', SURVIVORS];
  const modules = ['./small_while_loading.ts', './young_generation.ts'].map((name) => import.meta.resolve(name));
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '--', ...modules]);
  const [before = 0, after = 0]: number[] = JSON.parse(stdout);
  assert.ok(before <= 5, `${before} MiB before`);
  assert.ok(after >= 16, `${after} MiB after`);
});
