import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import process from 'node:process';
import type { Outcome } from './outcome_reporter.ts';
import { root, toolEnv } from './repository.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Files that failed and, run once more, passed. */
  readonly unsteady: readonly string[];
}

interface Ended {
  readonly exitStatus: number;
  readonly output: string;
}

/** Runs a program at the root, shows its output while it comes and gives it back. Ends it after `limitMs`. */
function runVisibly(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
): Promise<Ended> {
  return new Promise((resolve) => {
    // A process group of its own, so that nothing it started outlives it.
    const child = spawn(command, args, {
      cwd: root,
      env: { ...toolEnv, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const endGroup = () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    };
    process.once('exit', endGroup);
    let output = '';
    const timer = setTimeout(() => {
      console.error(`${command} is ended: it ran for more than ${limitMs / 1000} s`);
      endGroup();
    }, limitMs);
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      process.stdout.write(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
    const done = (exitStatus: number) => {
      clearTimeout(timer);
      process.off('exit', endGroup);
      resolve({ exitStatus, output });
    };
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      done(1);
    });
    child.on('close', (code) => done(code ?? 1));
  });
}

/** A run that failed without a failed test, or in which nothing ran, counts as one failure. */
function countsOf(exitStatus: number, passed: number, failed: number, skipped: number): Counts {
  const silentFailure = failed === 0 && (exitStatus !== 0 || passed + skipped === 0);
  return { passed, failed: silentFailure ? 1 : failed, skipped, unsteady: [] };
}

/** When more than that failed, it was not chance. */
const MOST_RUN_AGAIN = 3;

/**
 * What failed runs once more, by itself: a machine that was busy with something else, or a test that is not as steady as it
 * should be, is named and stops nobody; what is broken fails again.
 * @param failed names of what failed in the first run
 * @param runAgain runs just that
 */
async function onceMore(first: Counts, failed: readonly string[], runAgain: () => Promise<Counts>): Promise<Counts> {
  if (failed.length === 0 || failed.length > MOST_RUN_AGAIN) return first;
  console.log(`\n=== failed, once more: ${failed.join(' ')}`);
  const second = await runAgain();
  return {
    passed: first.passed + Math.max(0, first.failed - second.failed),
    failed: second.failed,
    skipped: first.skipped,
    unsteady: second.failed === 0 ? failed : [],
  };
}

/**
 * Runs test files with Node's test runner, those that fail once more.
 * @param atOnce files
 */
export async function runOnNode(
  files: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
  atOnce = 2,
): Promise<Counts> {
  const { counts, failedFiles } = await runFilesOnNode(files, env, limitMs, atOnce);
  return await onceMore(counts, failedFiles, async () => (await runFilesOnNode(failedFiles, env, limitMs, 1)).counts);
}

async function runFilesOnNode(
  files: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
  atOnce: number,
): Promise<{ counts: Counts; failedFiles: readonly string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'gitlab-kas-test-'));
  const outcomeFile = join(folder, 'outcome.json');
  const reporters = ['spec', 'stdout', './scripts/lib/outcome_reporter.ts', outcomeFile].map((value, index) =>
    index % 2 === 0 ? `--test-reporter=${value}` : `--test-reporter-destination=${value}`,
  );
  // Forced exit: a file whose failed test left a socket open is done all the same.
  const ending = ['--test-force-exit', '--import=./scripts/lib/report_before_exit.ts'];
  const options = [`--test-concurrency=${atOnce}`, '--test-timeout=60000', ...ending, ...reporters];
  try {
    // Most of what a short test costs is reading TypeScript: each process reads what another one has read.
    const cached = { NODE_COMPILE_CACHE: join(folder, 'compiled'), ...env };
    const { exitStatus } = await runVisibly(process.execPath, ['--test', ...options, ...files], cached, limitMs);
    const { passed, failed, skipped, failedFiles } = readOutcome(outcomeFile);
    return { counts: countsOf(exitStatus, passed, failed, skipped), failedFiles: failedFiles.map(fromRoot) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nothing, if the run was ended before it was over. */
function readOutcome(file: string): Outcome {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (text === '') return { passed: 0, failed: 0, skipped: 0, failedFiles: [] };
  return JSON.parse(text) as Outcome;
}

function fromRoot(file: string): string {
  return relative(root, file);
}

/** Plays recorded traffic against the executable (test/replay). Needs Redis, as upstream does. */
export async function runReplay(files: readonly string[], era: '2023' | 'today', limitMs: number): Promise<Counts> {
  if (!isOnPath('redis-server')) {
    console.log('SKIPPED: no redis-server here');
    return { passed: 0, failed: 0, skipped: 1, unsteady: [] };
  }
  const folders = new Set(files.map((file) => file.split('/')[2]));
  const args = [
    'test/replay/replay.mjs',
    ...['--kas', `${join(root, 'dist', 'gitlab-kas')} --configuration-file {config}`],
    ...['--era', era, '--only', `^(${[...folders].join('|')})/`, '--max-seconds', `${limitMs / 1000 - 20}`],
  ];
  const env = { AGENTK: process.env.AGENTK ?? join(root, 'test', 'support', 'bin', 'agentk') };
  const play = async () => {
    const { exitStatus, output } = await runVisibly(process.execPath, args, env, limitMs);
    const summary = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(output);
    const [passed = 0, failed = 0, skipped = 0] = (summary ?? []).slice(1).map(Number);
    const failedCases = [...output.matchAll(/^FAIL (.+?): /gm)].map(([, shown = '']) => shown);
    return { counts: countsOf(exitStatus, passed, failed, skipped), failed: [...new Set(failedCases)] };
  };
  const { counts, failed } = await play();
  return await onceMore(counts, failed, async () => (await play()).counts);
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, program)));
}

/** Runs test files with Deno's test runner, which understands node:test. */
export async function runOnDeno(files: readonly string[], limitMs: number): Promise<Counts> {
  const args = ['test', '--allow-all', '--no-check', ...files];
  const run = async () => {
    const { exitStatus, output } = await runVisibly(join(root, 'scripts', 'deno'), args, { NO_COLOR: '1' }, limitMs);
    // "ok | 482 passed (273 steps) | 0 failed | 1 ignored (7s)"; steps are what node:test counts as subtests.
    const summary = /\| (\d+) passed(?: \((\d+) steps?\))? \| (\d+) failed(?:.*? \| (\d+) ignored)?/.exec(output);
    const [passed = 0, steps = 0, failed = 0, skipped = 0] = (summary ?? [])
      .slice(1)
      .map((count) => Number(count ?? 0));
    const failedTests = [...output.matchAll(/^(.+) => (?:\.\/|file:\/\/).+$/gm)].map(([, name = '']) => name);
    return { counts: countsOf(exitStatus, passed + steps, failed, skipped), failed: [...new Set(failedTests)] };
  };
  const { counts, failed } = await run();
  return await onceMore(counts, failed, async () => (await run()).counts);
}
