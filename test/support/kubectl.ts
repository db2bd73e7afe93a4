import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubeconfig } from './agent_process.ts';
import { which } from './launch.ts';
import { within } from './wait.ts';

/** Why kubectl cannot be used here, or false. For the `skip` of a test. */
export const withoutKubectl: string | false = (() => {
  if (which('kubectl') === undefined) return 'no kubectl on this machine';
  try {
    const version = execFileSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
    const { clientVersion } = JSON.parse(version) as { clientVersion: { gitVersion: string } };
    const minor = Number(/^v1\.(\d+)/.exec(clientVersion.gitVersion)?.[1] ?? 0);
    return minor >= 31 ? false : `kubectl ${clientVersion.gitVersion} is older than 1.31`;
  } catch {
    return 'kubectl does not run on this machine';
  }
})();

export interface Kubectl {
  /** Runs to the end. `input` becomes its standard input. */
  run(args: readonly string[], input?: string | Buffer): Promise<KubectlResult>;
  /** Runs until the test ends it. */
  start(args: readonly string[]): RunningKubectl;
}

export interface KubectlResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningKubectl {
  output(): string;
  end(): Promise<void>;
}

/** kubectl with a kubeconfig for `server`, which it trusts by `ca`, and the token of a user. */
export function kubectlFor(
  folder: string,
  server: string,
  ca: string,
  token: string,
  more: Readonly<Record<string, string>> = {},
): Kubectl {
  const config = join(folder, 'kubeconfig');
  const authority = Buffer.from(ca).toString('base64');
  writeFileSync(config, kubeconfig(server, { token }, { 'certificate-authority-data': authority }), { mode: 0o600 });
  return kubectlWith(config, folder, more);
}

/** kubectl with the kubeconfig at a path. @param home where it keeps its caches */
export function kubectlWith(config: string, home: string, more: Readonly<Record<string, string>> = {}): Kubectl {
  const begin = (args: readonly string[]): ChildProcess =>
    spawn('kubectl', ['--kubeconfig', config, ...args], {
      env: { ...process.env, HOME: home, KUBECONFIG: config, ...more },
    });
  return {
    async run(args, input) {
      const child = begin(args);
      const output = collect(child);
      child.stdin?.on('error', () => {}).end(input ?? '');
      const closed = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
      try {
        const status = await within(`kubectl ${args.join(' ')}`, 30_000, closed);
        return { status, stdout: output.stdout.join(''), stderr: output.stderr.join('') };
      } finally {
        child.kill('SIGKILL');
      }
    },
    start(args) {
      const child = begin(args);
      const output = collect(child);
      const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
      return {
        output: () => output.stdout.join('') + output.stderr.join(''),
        async end() {
          child.kill('SIGINT');
          await within('the end of kubectl', 5000, closed);
        },
      };
    },
  };
}

function collect(child: ChildProcess) {
  const output = { stdout: [] as string[], stderr: [] as string[] };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => output.stdout.push(text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => output.stderr.push(text));
  return output;
}
