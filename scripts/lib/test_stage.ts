import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { root, toolEnv } from './repository.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Outcome {
  readonly exitStatus: number;
  readonly output: string;
}

/** Runs a program at the root, shows its output while it comes and gives it back. Ends it after `limitMs`. */
function runVisibly(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
): Promise<Outcome> {
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
  return { passed, failed: silentFailure ? 1 : failed, skipped };
}

function tapTotal(tap: string, name: string): number {
  return Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0);
}

/**
 * Runs test files with Node's test runner.
 * @param atOnce files
 */
export async function runOnNode(
  files: readonly string[],
  env: Readonly<Record<string, string>>,
  limitMs: number,
  atOnce = 2,
): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), 'gitlab-kas-test-'));
  const tapFile = join(folder, 'tap');
  const reporters = ['spec', 'stdout', 'tap', tapFile].map((value, index) =>
    index % 2 === 0 ? `--test-reporter=${value}` : `--test-reporter-destination=${value}`,
  );
  // Forced exit: a file whose failed test left a socket open is done all the same.
  const options = [`--test-concurrency=${atOnce}`, '--test-timeout=60000', '--test-force-exit', ...reporters];
  try {
    const { exitStatus } = await runVisibly(process.execPath, ['--test', ...options, ...files], env, limitMs);
    const tap = existsSync(tapFile) ? readFileSync(tapFile, 'utf8') : '';
    const failed = tapTotal(tap, 'fail') + tapTotal(tap, 'cancelled');
    return countsOf(exitStatus, tapTotal(tap, 'pass'), failed, tapTotal(tap, 'skipped') + tapTotal(tap, 'todo'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Plays recorded traffic against the executable (test/replay). Needs Redis, as upstream does. */
export async function runReplay(files: readonly string[], era: '2023' | 'today', limitMs: number): Promise<Counts> {
  if (!isOnPath('redis-server')) {
    console.log('SKIPPED: no redis-server here');
    return { passed: 0, failed: 0, skipped: 1 };
  }
  const folders = new Set(files.map((file) => file.split('/')[2]));
  const args = [
    'test/replay/replay.mjs',
    ...['--kas', `${join(root, 'dist', 'gitlab-kas')} --configuration-file {config}`],
    ...['--era', era, '--only', `^(${[...folders].join('|')})/`, '--max-seconds', `${limitMs / 1000 - 20}`],
  ];
  const env = { AGENTK: process.env.AGENTK ?? join(root, 'test', 'support', 'bin', 'agentk') };
  const { exitStatus, output } = await runVisibly(process.execPath, args, env, limitMs);
  const summary = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(output);
  const [passed = 0, failed = 0, skipped = 0] = (summary ?? []).slice(1).map(Number);
  return countsOf(exitStatus, passed, failed, skipped);
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, program)));
}

/** Runs test files with Deno's test runner, which understands node:test. */
export async function runOnDeno(files: readonly string[], limitMs: number): Promise<Counts> {
  const args = ['test', '--allow-all', '--no-check', ...files];
  const { exitStatus, output } = await runVisibly(join(root, 'scripts', 'deno'), args, { NO_COLOR: '1' }, limitMs);
  // "ok | 482 passed (273 steps) | 0 failed | 1 ignored (7s)"; steps are what node:test counts as subtests.
  const summary = /\| (\d+) passed(?: \((\d+) steps?\))? \| (\d+) failed(?:.*? \| (\d+) ignored)?/.exec(output);
  const [passed = 0, steps = 0, failed = 0, skipped = 0] = (summary ?? []).slice(1).map((count) => Number(count ?? 0));
  return countsOf(exitStatus, passed + steps, failed, skipped);
}
