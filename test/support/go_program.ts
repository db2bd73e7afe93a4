import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root, which } from './launch.ts';

/** Why Go programs cannot be built here, or false. For the `skip` of a test. */
export const withoutGo: string | false = which('go') === undefined ? 'no Go on this machine' : false;

/** Builds a Go program of test/interop and gives back its path; it is removed when the process ends. */
export async function buildGoProgram(name: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), `go-${name}-`));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, name);
  await promisify(execFile)('go', ['build', '-o', program, '.'], {
    cwd: join(root, 'test/interop', name),
    timeout: 300_000,
  });
  return program;
}
