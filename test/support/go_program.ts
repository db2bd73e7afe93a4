import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { root, which } from './launch.ts';

/** Why Go programs cannot be built here, or false. For the `skip` of a test. */
export const withoutGo: string | false = which('go') === undefined ? 'no Go on this machine' : false;

/**
 * Builds a Go program and gives back its path; it is removed when the process ends.
 * @param folder of the program, in `test/`
 */
export async function buildGoProgram(folder: string): Promise<string> {
  const name = basename(folder);
  const out = mkdtempSync(join(tmpdir(), `go-${name}-`));
  process.on('exit', () => rmSync(out, { recursive: true, force: true }));
  const program = join(out, name);
  await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd: join(root, 'test', folder), timeout: 300_000 });
  return program;
}
