// Holds what docs/architecture.md says of the rooms under src/: imports run one way, modules do not know each other,
// time and chance come in from runtime/, and only runtime/ knows which runtime this is.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import process from 'node:process';
import { root } from './lib/repository.ts';

/** From the top down. A room imports from those below it; neighbours on a line, in one direction only. */
const layers: readonly (readonly string[])[] = [
  ['main.ts'],
  ['commands'],
  ['app'],
  ['modules'],
  ['routing', 'http_over_grpc', 'rpc', 'auth', 'gitaly'],
  ['tunnel', 'store', 'gitlab'],
  ['grpc', 'net'],
  ['http2'],
  ['observability', 'config'],
  ['runtime'],
  ['gen'],
];

/** Calls that only src/runtime may make, outside tests and outside comments. */
const runtimeOnly: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/(?<![.\w])(setTimeout|setInterval)\(/, 'a Scope or Clock timer'],
  [/\bAbortSignal\.timeout\(/, 'a Scope timer'],
  [/\bnode:timers\b/, 'a Scope or Clock timer'],
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bhrtime\b/, 'Clock'],
  [/\bMath\.random\(|\b(randomBytes|randomUUID|randomInt|getRandomValues)\(/, 'Random'],
  [/\b(Deno|Bun)\./, 'what node: modules offer'],
];

const src = join(root, 'src');
const neighbourImports = new Set<string>();

function layerOf(room: string): number {
  return layers.findIndex((rooms) => rooms.includes(room));
}

function place(path: string): { room: string; module: string | undefined } {
  const [room = '', module] = relative(src, path).split('/');
  return { room, module: room === 'modules' ? module : undefined };
}

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

function importFaults(file: string, target: string): string | undefined {
  const [from, to] = [place(file), place(target)];
  if (from.room === to.room) {
    return from.module === to.module ? undefined : `module ${from.module} imports module ${to.module}`;
  }
  if (layerOf(to.room) < 0) return `${to.room} is no room of docs/architecture.md`;
  if (layerOf(from.room) > layerOf(to.room)) return `${from.room} may not import ${to.room}`;
  if (layerOf(from.room) < layerOf(to.room)) return undefined;
  neighbourImports.add(`${from.room} ${to.room}`);
  if (neighbourImports.has(`${to.room} ${from.room}`)) return `${from.room} and ${to.room} import each other`;
  return undefined;
}

function faultsOf(file: string): string[] {
  const faults: string[] = [];
  const { room } = place(file);
  if (room === 'gen') return [];
  if (layerOf(room) < 0) faults.push(`${relative(root, file)}: ${room} is no room of docs/architecture.md`);
  const isTest = file.endsWith('.test.ts');
  const lines = withoutComments(readFileSync(file, 'utf8')).split('\n');
  for (const [index, line] of lines.entries()) {
    const at = `${relative(root, file)}:${index + 1}`;
    const specifier = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/.exec(line)?.[1];
    const target = specifier === undefined ? undefined : join(dirname(file), specifier);
    if (target?.startsWith(`${src}/`)) {
      const fault = importFaults(file, target);
      if (fault !== undefined) faults.push(`${at}: ${fault}`);
    } else if (target !== undefined && !isTest) {
      faults.push(`${at}: imports from outside src/`);
    }
    if (room === 'runtime' || isTest) continue;
    for (const [pattern, instead] of runtimeOnly) {
      const found = pattern.exec(line)?.[0];
      if (found !== undefined) faults.push(`${at}: ${found} is for src/runtime only; use ${instead}`);
    }
  }
  return faults;
}

const faults = globSync('**/*.ts', { cwd: src }).flatMap((name) => faultsOf(join(src, name)));
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
