// Runs the tests: npm test, or npm test -- STAGE… for some of the stages below. The last line adds them up;
// before it stand the files that failed and, run once more by themselves, passed.
import { globSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { root } from './lib/repository.ts';
import { type Counts, runOnDeno, runOnNode, runReplay } from './lib/test_stage.ts';

const minute = 60_000;

function testFiles(...patterns: string[]): string[] {
  return globSync(patterns, { cwd: root }).sort();
}

/** The subset of the end-to-end tests that also runs against the source. */
const core = ['test/e2e/**/*.core.test.ts'];

interface Stage {
  readonly name: string;
  readonly files: readonly string[];
  readonly run: (files: readonly string[]) => Promise<Counts>;
}

/** What was recorded and can be played. */
const replayed = [
  'test/vectors/{k8s-proxy,tunnel,agent-connect,internal-api,modules}/*.json',
  'test/vectors/kas-to-kas/!(jwt|no-tunnel*).json',
  'test/vectors/observability/http.json',
];

const stages: readonly Stage[] = [
  { name: 'unit', files: testFiles('src/**/*.test.ts'), run: (files) => runOnNode(files, {}, 4 * minute) },
  { name: 'unit-deno', files: testFiles('src/**/*.test.ts'), run: (files) => runOnDeno(files, 4 * minute) },
  {
    name: 'integration',
    files: testFiles('test/*/**/*.test.ts').filter((file) => !/^test\/(e2e|interop|fuzz)\//.test(file)),
    run: (files) => runOnNode(files, {}, 6 * minute),
  },
  {
    name: 'fuzz',
    files: testFiles('test/fuzz/**/*.test.ts'),
    run: (files) => runOnNode(files, { KAS_UNDER_TEST: 'executable' }, 2 * minute),
  },
  {
    name: 'e2e',
    files: testFiles('test/e2e/**/*.test.ts').filter((file) => !file.startsWith('test/e2e/hostile/')),
    // They wait more than they work.
    run: (files) => runOnNode(files, { KAS_UNDER_TEST: 'executable' }, 12 * minute, 4),
  },
  {
    name: 'hostile',
    files: testFiles('test/e2e/hostile/*.test.ts'),
    run: (files) => runOnNode(files, { KAS_UNDER_TEST: 'executable' }, 5 * minute),
  },
  {
    name: 'e2e-node',
    files: testFiles(...core),
    run: (files) => runOnNode(files, { KAS_UNDER_TEST: 'node' }, 6 * minute, 4),
  },
  {
    name: 'e2e-deno',
    files: testFiles(...core),
    run: (files) => runOnNode(files, { KAS_UNDER_TEST: 'deno' }, 6 * minute, 4),
  },
  {
    name: 'interop',
    files: testFiles('test/interop/**/*.test.ts'),
    run: (files) => runOnNode(files, { KAS_UNDER_TEST: 'executable' }, 4 * minute),
  },
  {
    name: 'replay',
    files: testFiles(...replayed),
    run: (files) => runReplay(files, '2023', 4 * minute),
  },
  {
    name: 'replay-today',
    files: testFiles(...replayed),
    run: (files) => runReplay(files, 'today', 4 * minute),
  },
];

// Ending this process ends the running stage with it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !stages.some((stage) => stage.name === name));
if (unknown.length > 0) {
  console.error(`test: no stage ${unknown.join(', ')}; there are ${stages.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
const unsteadyLines: string[] = [];
for (const { name, files, run } of stages) {
  if ((wanted.length > 0 && !wanted.includes(name)) || files.length === 0) continue;
  console.log(`\n=== ${name}: ${files.length} files`);
  const start = performance.now();
  const { passed, failed, skipped, unsteady } = await run(files);
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += skipped;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  lines.push(`${name.padEnd(12)} passed ${passed}, failed ${failed}, skipped ${skipped} (${seconds} s)`);
  for (const file of unsteady)
    unsteadyLines.push(`UNSTEADY, to be mended: ${name}: ${file} failed, and passed by itself`);
}
console.log(`\n${[...lines, ...unsteadyLines].join('\n')}`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
