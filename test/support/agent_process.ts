import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './endpoint.ts';

export interface AgentProcessOptions {
  /** The program: a real agentk, or ours. */
  readonly program: string;
  readonly kasAddress: string;
  readonly token: string;
  /** PEM of the CA that signed the server's certificate. */
  readonly ca?: string | undefined;
  /** A kubeconfig's text. */
  readonly kubeconfig: string;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** Runs an agentk as a process, with the flags and environment that it takes in a cluster. */
export async function startAgentProcess(
  options: AgentProcessOptions,
): Promise<{ close(): Promise<void>; output(): string }> {
  const folder = mkdtempSync(join(tmpdir(), 'agentk-'));
  const write = (name: string, text: string) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const args = [
    '--kas-address',
    options.kasAddress,
    '--token-file',
    write('token', options.token),
    '--kubeconfig',
    write('kubeconfig', options.kubeconfig),
    '--observability-listen-address',
    `127.0.0.1:${await freePort()}`,
    ...(options.ca === undefined ? [] : ['--ca-cert-file', write('ca.crt', options.ca)]),
  ];
  const child = spawn(options.program, args, {
    env: { ...process.env, POD_NAMESPACE: 'gitlab-agent', POD_NAME: 'agentk-1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const closed = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => {
      children.delete(child);
      rmSync(folder, { recursive: true, force: true });
      resolve();
    });
  });
  closed.catch(() => {});
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
  return {
    output: () => output,
    async close() {
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), 3000);
      await closed;
      clearTimeout(hard);
    },
  };
}

/** A kubeconfig with one cluster. `user` and `cluster` are the sections' other members, as JSON. */
export function kubeconfig(
  server: string,
  user: Record<string, unknown>,
  cluster: Record<string, unknown> = {},
): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server, ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}
