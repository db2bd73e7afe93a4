import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Report } from '../problem.ts';

const READ_BY_OTHERS = 0o004;
const WRITTEN_BY_OTHERS = 0o002;
const ENTERED_BY_OTHERS = 0o001;

/**
 * Warns of a file with a secret that every user of the machine can read, or replace. It is not refused: in containers, where
 * there are no others, secrets often come with such modes.
 */
export function warnIfOpenToAll(file: string, path: string, report: Report): void {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
  const what = (mode & WRITTEN_BY_OTHERS) !== 0 ? 'write to' : 'read';
  if ((mode & (READ_BY_OTHERS | WRITTEN_BY_OTHERS)) === 0 || !othersGetTo(dirname(file))) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  report.warn(path, `every user of this machine can ${what} ${file} (mode ${octal}): chmod o-rwx`);
}

/** Whether the way to a folder is open to users that neither own it nor belong to its group. */
function othersGetTo(folder: string): boolean {
  const mode = statSync(folder, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & ENTERED_BY_OTHERS) === 0) return false;
  const parent = dirname(folder);
  return parent === folder || othersGetTo(parent);
}
