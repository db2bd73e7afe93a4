import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FakeGitLab } from './gitlab/gitlab.ts';
import {
  baseConfig,
  type ConfigTree,
  type Endpoints,
  mergeConfig,
  type Places,
  preparePlaces,
  type Tls,
} from './kas_config.ts';
import { launchCommand } from './launch.ts';
import { differenceFromUpstream } from './upstream_lines.ts';
import { eventually, within } from './wait.ts';

export interface ServerOptions {
  /** With it the server has a `gitlab:` section, without it a `standalone:` one. */
  readonly gitlab?: FakeGitLab | undefined;
  /** All listeners but the observability one; default tcp. */
  readonly network?: 'tcp' | 'unix';
  /** For the agent API and the Kubernetes API. */
  readonly tls?: Tls | undefined;
  /** Laid over the usual configuration. */
  readonly config?: ConfigTree;
  /** The whole file instead. */
  readonly yaml?: (places: Places) => string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where its standard error goes instead of into `log`, which stays empty. */
  readonly stderrTo?: string | undefined;
  /** What `ulimit -n` says to the server. */
  readonly openFiles?: number | undefined;
  /** false: resolves as soon as the process runs, for servers that are to fail. */
  readonly ready?: boolean;
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface RunningServer {
  readonly endpoints: Endpoints;
  readonly places: Places;
  readonly configFile: string;
  readonly pid: number;
  readonly log: readonly LogLine[];
  readonly stderr: () => string;
  readonly stdout: () => string;
  /** Resolves with the exit status; a signal counts as its name. */
  readonly exited: Promise<number | string>;
  /** The first line for which it is true, also one of those that came before. */
  waitForLog(what: string, matches: (line: LogLine) => boolean, withinMs?: number): Promise<LogLine>;
  /** Nobody reads standard error any more, until the returned function is called. */
  stopReading(): () => void;
  /** Resident memory in bytes. */
  residentBytes(): number;
  signal(name: NodeJS.Signals): void;
  /**
   * SIGTERM; asserts that the process ends with 0 in time, that each log line is JSON, that each error says what to do, that
   * upstream's lines have its level and fields, that no secret is in the log, and that nothing is on standard output.
   */
  stop(withinMs?: number): Promise<void>;
  /** For tests in which the end is of no interest. */
  kill(): Promise<void>;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** Starts the product as a process of its own and waits until it is ready. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), 'kas-'));
  const places = await preparePlaces(folder, {
    network: options.network ?? 'tcp',
    gitlabSecret: options.gitlab?.secret ?? randomBytes(32),
    tls: options.tls,
  });
  const configFile = join(folder, 'gitlab-kas-config.yml');
  writeFileSync(configFile, options.yaml?.(places) ?? configText(places, options));
  const child = runKas(['--configuration-file', configFile], options.env, options.openFiles, options.stderrTo);
  const server = watch(child, folder, configFile, places);
  if (options.ready !== false) {
    try {
      await becomesReady(server, child);
    } catch (error) {
      await server.kill();
      throw new Error(`${String(error)}\n${server.stderr().slice(-4000)}`);
    }
  }
  return server;
}

/** Starts a server that has ended once more: the same files, the same ports. */
export async function startAgain(ended: RunningServer, env?: Readonly<Record<string, string>>): Promise<RunningServer> {
  const child = runKas(['--configuration-file', ended.configFile], env);
  const server = watch(child, ended.places.folder, ended.configFile, ended.places);
  await becomesReady(server, child);
  return server;
}

/** Runs the product with these arguments. */
export function runKas(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  openFiles?: number,
  stderrTo?: string,
): ChildProcess {
  const { command, args: before, env: ofRuntime } = launchCommand();
  const line = [command, ...before, ...args];
  if (openFiles !== undefined) line.unshift('/bin/sh', '-c', `ulimit -n ${openFiles}; exec "$0" "$@"`);
  const [program = '', ...rest] = line;
  const stderr = stderrTo === undefined ? undefined : openSync(stderrTo, 'w');
  const child = spawn(program, rest, {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, OWN_PRIVATE_API_URL: '', ...ofRuntime, ...env },
    stdio: ['ignore', 'pipe', stderr ?? 'pipe'],
  });
  if (stderr !== undefined) closeSync(stderr);
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Runs the product until it ends by itself. */
export async function runToEnd(
  args: readonly string[],
  withinMs = 20_000,
): Promise<{ status: number | string; stdout: string; stderr: string }> {
  const child = runKas(args);
  const out = capture(child);
  try {
    const status = await within(`gitlab-kas ${args.join(' ')}`, withinMs, exitStatus(child));
    return { status, stdout: out.stdout(), stderr: out.stderr() };
  } finally {
    child.kill('SIGKILL');
  }
}

function configText(places: Places, options: ServerOptions): string {
  // JSON is YAML.
  return JSON.stringify(
    mergeConfig(baseConfig(places, options.gitlab, options.tls !== undefined), options.config ?? {}),
    undefined,
    2,
  );
}

function capture(child: ChildProcess) {
  const text = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (s: string) => {
    text.out += s;
  });
  child.stderr?.setEncoding('utf8').on('data', (s: string) => {
    text.err += s;
  });
  return { stdout: () => text.out, stderr: () => text.err };
}

function exitStatus(child: ChildProcess): Promise<number | string> {
  // close, not exit: the last log lines have been read then.
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
}

function watch(child: ChildProcess, folder: string, configFile: string, places: Places): RunningServer {
  const out = capture(child);
  const log: LogLine[] = [];
  const secretsInFiles = contentOf(places.apiSecretFile, places.privateApiSecretFile, places.websocketTokenSecretFile);
  let rest = '';
  child.stderr?.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) log.push(parseLine(line));
  });
  const exited = exitStatus(child);
  exited.catch(() => {});
  const remove = () => rmSync(folder, { recursive: true, force: true });
  return {
    endpoints: places.endpoints,
    places,
    configFile,
    pid: child.pid ?? -1,
    log,
    stdout: out.stdout,
    stderr: out.stderr,
    exited,
    waitForLog: (what, matches, ms) => eventually(`the log line ${what}`, () => log.find(matches), ms),
    stopReading() {
      child.stderr?.pause();
      return () => void child.stderr?.resume();
    },
    residentBytes: () => residentBytes(child.pid ?? -1),
    signal: (name) => child.kill(name),
    async stop(withinMs = 10_000) {
      child.kill('SIGTERM');
      try {
        assert.equal(await within('the server’s end', withinMs, exited), 0, out.stderr().slice(-4000));
        assertCleanLog(log, secretsInFiles);
        assert.equal(out.stdout(), '', 'everything goes to standard error');
      } finally {
        child.kill('SIGKILL');
        remove();
      }
    },
    async kill() {
      child.kill('SIGKILL');
      await exited.catch(() => {});
      remove();
    },
  };
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return { level: 'not JSON', msg: line };
  }
}

/** Everything in tests that is a secret looks like one of these: tokens by name, credentials by form, JWTs. */
const secret =
  /agent-token-\d|(alice|bob|carol)-pat|job-(agent|plain|ci|impersonate)|alice.cookie|alice-csrf|kube-sa-token|glpat-|\b(pat|ci):\d+:\S|_gitlab_kas=|\beyJ[\w-]+\.eyJ/;

function contentOf(...files: readonly string[]): string[] {
  const there = files.filter((file) => existsSync(file)); // some tests take them away
  return there.map((file) => readFileSync(file, 'utf8').trim()).filter((text) => text !== '');
}

function assertCleanLog(log: readonly LogLine[], secretsInFiles: readonly string[]): void {
  const told = (msg: string, level: string) => log.some((line) => line.msg === msg && line.level === level);
  for (const line of log) {
    assert.notEqual(line.level, 'not JSON', `a log line is no JSON: ${line.msg}`);
    const text = JSON.stringify(line);
    assert.doesNotMatch(text, secret, 'a secret is in the log');
    assert.ok(!secretsInFiles.some((one) => text.includes(one)), `the content of a secret file is in the log: ${text}`);
    const difference = differenceFromUpstream(line, told);
    assert.equal(difference, undefined, `upstream's line is another one: ${text}`);
    // What to do next, and which key or variable it concerns.
    if (line.level === 'error') assert.ok(String(line.hint ?? '').length > 10, `an error without a hint: ${text}`);
  }
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN);
}

async function becomesReady(server: RunningServer, child: ChildProcess): Promise<void> {
  await eventually(
    'readiness',
    async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('the server ended while it started');
      return (await readiness(server.endpoints)) === 200;
    },
    30_000,
  );
}

/** The status of the readiness probe, or undefined when nothing answers. */
export function readiness(endpoints: Endpoints): Promise<number | undefined> {
  const { host, port } = endpoints.observability;
  return new Promise((resolve) => {
    const probe = request({ host, port, path: '/readiness', agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    probe.on('error', () => resolve(undefined)).on('timeout', () => probe.destroy());
    probe.end();
  });
}
