import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Room for a name after the folder, within what a socket's path may be long. */
const LONGEST_PARENT = 60;

/** A folder that nobody else can look into (mode 0700), gone when it is closed. */
export function createPrivateFolder(): { readonly path: string; close(): void } {
  const parent = tmpdir();
  const path = mkdtempSync(join(parent.length > LONGEST_PARENT ? '/tmp' : parent, 'gitlab-kas-'));
  return { path, close: () => rmSync(path, { recursive: true, force: true }) };
}
