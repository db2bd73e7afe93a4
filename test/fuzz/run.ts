/**
 * Fuzzes for as long as one likes: `npm run fuzz -- [--minutes N] [FILE…]`. Rounds of all tests of this folder (or of the files
 * named), each with a seed of its own, until the time is over or something is found.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { globSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { root } from '../support/launch.ts';

const { values, positionals } = parseArgs({
  options: { minutes: { type: 'string', default: '10' } },
  allowPositionals: true,
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error(`fuzz: --minutes ${values.minutes}: a number above 0 is expected`);
  process.exit(2);
}
const files = positionals.length > 0 ? positionals : globSync('test/fuzz/**/*.test.ts', { cwd: root }).sort();
const end = performance.now() + minutes * 60_000;

for (let round = 1; performance.now() < end; round++) {
  const env = { ...process.env, FUZZ_SEED: String(randomInt(2 ** 31)), FUZZ_MS: process.env.FUZZ_MS ?? '5000' };
  const args = ['--test', '--test-concurrency=2', '--test-force-exit', '--test-reporter=dot', ...files];
  console.log(`fuzz: round ${round}, FUZZ_SEED=${env.FUZZ_SEED}`);
  const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  if (status !== 0) {
    console.error(
      'fuzz: something was found. It lies in test/fuzz/findings/: mend it, then move it to test/fuzz/corpus/.',
    );
    process.exit(1);
  }
}
console.log(`fuzz: nothing was found in ${minutes} minutes`);
