import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The repository's root folder. */
export const root: string = join(import.meta.dirname, '..', '..');

/** The environment of child processes: tools under node_modules run on the Node that runs us. */
export const toolEnv: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: [join(process.execPath, '..'), join(root, 'node_modules', '.bin'), process.env.PATH].join(':'),
};

/** Runs a program at the root with our own input and output, and gives its exit status. */
export function run(command: string, args: readonly string[]): number {
  const done = spawnSync(command, args, { cwd: root, env: toolEnv, stdio: 'inherit' });
  if (done.error) throw done.error;
  return done.status ?? 1;
}
