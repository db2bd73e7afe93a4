import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Loaded, loadConfig } from '../../src/config/load.ts';
import type { Machine } from '../../src/config/own_private_api.ts';
import { formatProblem, type Problem } from '../../src/config/problem.ts';

/** Where the configurations of the Linux package and the chart are, with what they name. */
export const fixtures = fileURLToPath(new URL('../fixtures/config/', import.meta.url));

/** What configurations are loaded on, whatever the tests run on. */
export const machine: Machine = {
  env: { OWN_PRIVATE_API_HOST: 'kas.example' },
  addresses: ['127.0.0.1', '10.0.0.7'],
};

/** A folder with secrets and certificates, good and bad ones, in which configurations are tried. */
export interface ConfigFolder {
  readonly folder: string;
  /** Writes a file into the folder and returns its path. */
  write(name: string, content: string | Buffer, mode?: number): string;
  /** Loads `yaml` as c.yaml of the folder. */
  load(yaml: string): Promise<Loaded>;
  /** As they are printed, without the folder's path. */
  format(problems: readonly Problem[]): string[];
  remove(): void;
}

export function createConfigFolder(): ConfigFolder {
  const folder = mkdtempSync(join(tmpdir(), 'kas-config-'));
  const write = (name: string, content: string | Buffer, mode = 0o600): string => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode });
    return path;
  };
  const base64 = (bytes: number): string => Buffer.alloc(bytes, 1).toString('base64');
  write('s0', '');
  write('s3', base64(3));
  write('s32', `${base64(32)}\n`);
  write('s72', base64(72));
  write('bad', 'abc!');
  write('alice.token', 'alice-token\n');
  write('two-lines', 'a\nb\n');
  write('otlp', '  glpat-x \n');
  write('password', 'pass\n');
  for (const name of ['server.crt', 'server.key', 'other.key']) write(name, readFileSync(join(fixtures, name)));
  return {
    folder,
    write,
    load: (yaml) => loadConfig(write('c.yaml', yaml), machine),
    format: (problems) => problems.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, '')),
    remove: () => rmSync(folder, { recursive: true }),
  };
}
