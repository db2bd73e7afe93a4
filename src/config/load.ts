import { dirname, resolve } from 'node:path';
import { runConfigCommand } from './command.ts';
import type { Config } from './config.ts';
import { readBytes } from './files/read_file.ts';
import { deepFreeze } from './freeze.ts';
import { thisMachine } from './machine.ts';
import type { Machine } from './own_private_api.ts';
import { commandSource, inOrder, type Problem, Report } from './problem.ts';
import { buildConfig, type RootSection, rootSection } from './sections/root.ts';
import { parseYaml } from './yaml/parse.ts';
import { isUnset, type MapTree, mergeTrees, type Tree } from './yaml/tree.ts';

export type Loaded = LoadedConfig | { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };

export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly Problem[];
  /** What the file says, with defaults, in the file's own names: for `check-config --effective`. No secrets in it. */
  readonly effective: unknown;
}

/** One member of each group at most: what `config.command` says about one takes the place of the other. */
const alternatives = [['redis.server', 'redis.sentinel']];

/** Far beyond any configuration. */
const longestFile = 1024 * 1024;

/**
 * Reads the configuration file, merges what `config.command` prints, validates, defaults, and opens the secrets and
 * certificates that it names. Relative paths start at the file's folder. Either there is a configuration, or all
 * problems of the file at once. Never rejects for what is in the file.
 */
export async function loadConfig(file: string, machine: Machine = thisMachine()): Promise<Loaded> {
  const report = new Report(dirname(resolve(file)));
  const read = readBytes(file);
  if ('wrong' in read) return failed(report, { position: undefined, path: '', message: read.wrong });
  const start = { source: file, line: 1, column: 1 };
  if (read.bytes.length > longestFile) return failed(report, { position: start, path: '', message: 'is too long' });
  const text = decodeUtf8(read.bytes);
  if (text === undefined) return failed(report, { position: start, path: '', message: 'is not UTF-8' });
  const parsed = readMapping(text, file, report);
  if (parsed === undefined) return failed(report);
  report.locate('', start);
  const whole = await withCommand(parsed, report);
  if (whole === undefined) return failed(report);
  const root = rootSection.decode(whole, '', report);
  const config = deepFreeze(buildConfig(root, machine, report));
  if (report.problems.length > 0) return failed(report);
  return { config, warnings: inOrder(report.warnings), effective: effective(root) };
}

function failed(report: Report, ...more: Problem[]): Loaded {
  return { problems: inOrder([...report.problems, ...more]), warnings: inOrder(report.warnings) };
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function readMapping(text: string, source: string, report: Report): MapTree | undefined {
  const { tree, problems, warnings } = parseYaml(text, source);
  report.problems.push(...problems);
  report.warnings.push(...warnings);
  if (problems.length > 0) return undefined;
  if (tree?.kind === 'map') return tree;
  const position = tree?.position ?? { source, line: 1, column: 1 };
  const message = isUnset(tree) ? 'there is no configuration in it' : 'is not a mapping of keys to values';
  report.problems.push({ position, path: '', message });
  return undefined;
}

/** The file's mapping with the command's output on top, if there is a command. */
async function withCommand(base: MapTree, report: Report): Promise<MapTree | undefined> {
  const command = commandOf(base);
  if (command === undefined) return base;
  report.locate('config.command', command.position);
  const ran = await runConfigCommand(String(command.value));
  if ('wrong' in ran) {
    report.problem('config.command', ran.wrong);
    return undefined;
  }
  const printed = readMapping(ran.output, commandSource, report);
  if (printed === undefined) return undefined;
  const entries = new Map(printed.entries);
  entries.delete('config');
  return mergeTrees(base, { ...printed, entries }, alternatives);
}

/** Undefined too when it is no string: decoding says so. */
function commandOf(base: MapTree): (Tree & { kind: 'scalar' }) | undefined {
  const config = base.entries.get('config')?.value;
  const command = config?.kind === 'map' ? config.entries.get('command')?.value : undefined;
  if (command?.kind !== 'scalar' || typeof command.value !== 'string' || command.value === '') return undefined;
  return command;
}

/** Without the command: what it printed is in there already. */
function effective(root: RootSection): unknown {
  return rootSection.encode({ ...root, config: undefined });
}
