// Pages that a comment or another page refers to must exist.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { root } from './lib/repository.ts';

const faults: string[] = [];

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

for (const file of ['README.md', ...globSync('docs/**/*.md', { cwd: root })]) {
  for (const [, target = ''] of read(file).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
    if (/^[a-z]+:/.test(target) || existsSync(join(root, dirname(file), target))) continue;
    faults.push(`${file}: there is no ${target}`);
  }
}

for (const file of globSync('{src,test,scripts}/**/*.ts', { cwd: root })) {
  for (const [page] of read(file).matchAll(/\bdocs\/[\w/]+\.md\b/g)) {
    if (!existsSync(join(root, page))) faults.push(`${file}: there is no ${page}`);
  }
}

for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
