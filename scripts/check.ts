// What must hold of every commit, besides the tests. Runs everything, then says what failed.
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { run } from './lib/repository.ts';

const steps: readonly (readonly [name: string, command: string, args: readonly string[]])[] = [
  ['format and lint', 'biome', ['check', '--error-on-warnings']],
  ['types', 'tsc', []],
  ['protos', 'buf', ['lint']],
  ['import directions', process.execPath, ['scripts/check_imports.ts']],
  ['references to docs', process.execPath, ['scripts/check_docs.ts']],
  ['generated code', process.execPath, ['scripts/generate.ts', '--check']],
  ['package lock', process.execPath, ['scripts/check_packages.ts']],
  ['dependencies', process.execPath, ['scripts/audit.ts']],
  ['unused exports and packages', 'knip', []],
];

const failed: string[] = [];
for (const [name, command, args] of steps) {
  const start = performance.now();
  const ok = run(command, args) === 0;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  if (!ok) failed.push(name);
}
if (failed.length > 0) console.error(`check: ${failed.join(', ')} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
