import { readFileSync } from 'node:fs';

/** Texts as people know them from upstream's log; the code for all others. */
const texts = new Map([
  ['ENOENT', 'no such file or directory'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'is a directory'],
  ['ENOTDIR', 'not a directory'],
  ['ELOOP', 'too many levels of symbolic links'],
]);

/** The file's bytes, or why there are none: `open /a/b: no such file or directory`. Never throws. */
export function readBytes(path: string): { bytes: Buffer } | { wrong: string } {
  try {
    return { bytes: readFileSync(path) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { wrong: `open ${path}: ${texts.get(code) ?? code}` };
  }
}
