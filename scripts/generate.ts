// Generates src/gen from proto/. `--check` compares instead: exit status 1 when what is there is out of date.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { root, run } from './lib/repository.ts';

function filesUnder(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]));
}

function outdated(): string[] {
  const fresh = mkdtempSync(join(tmpdir(), 'gitlab-kas-gen-'));
  try {
    if (run('buf', ['generate', '--output', fresh]) !== 0) throw new Error('buf generate failed');
    const wanted = filesUnder(join(fresh, 'src', 'gen'));
    const present = filesUnder(join(root, 'src', 'gen'));
    const names = new Set([...wanted.keys(), ...present.keys()]);
    return [...names].filter((name) => wanted.get(name) !== present.get(name)).sort();
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

if (process.argv.includes('--check')) {
  const names = outdated();
  for (const name of names) console.error(`src/gen/${name} is out of date: run npm run generate`);
  process.exitCode = names.length === 0 ? 0 : 1;
} else {
  rmSync(join(root, 'src', 'gen'), { recursive: true, force: true });
  process.exitCode = run('buf', ['generate']);
}
