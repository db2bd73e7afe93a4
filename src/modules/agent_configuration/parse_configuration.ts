import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { parseYaml } from '../../config/yaml/parse.ts';
import type { Tree } from '../../config/yaml/tree.ts';
import { type ConfigurationFile, ConfigurationFileSchema } from '../../gen/gitlab/agent/agentcfg/agentcfg_pb.ts';
import { errorText } from '../../runtime/app_error.ts';
import { ConfigurationError } from './configuration_error.ts';
import { jsonText, tooManyAliases } from './json_text.ts';
import { readMessage, type UnknownKey } from './read_message.ts';
import { validateConfiguration } from './validate.ts';

/** GitLab takes the first 500 of each list and does not say that it leaves out the rest. */
const MAX_ENTRIES = 500;

/** An agent's configuration file, read. */
export interface Configuration {
  readonly file: ConfigurationFile;
  /** The file as JSON, keys included that only GitLab may know. */
  readonly forGitLab: JsonObject;
  readonly unknownKeys: readonly UnknownKey[];
  /** Lists with more entries than GitLab takes, like `ci_access.projects`. */
  readonly tooLong: readonly string[];
}

/**
 * Reads `.gitlab/agents/<name>/config.yaml` (docs/protocol/agent_configuration.md).
 * @throws ConfigurationError
 */
export function parseConfiguration(content: Uint8Array): Configuration {
  const tree = parse(Buffer.from(content).toString('utf8'));
  if (tree === undefined || (tree.kind === 'scalar' && tree.value === null)) {
    return { file: fromJson(ConfigurationFileSchema, {}), forGitLab: {}, unknownKeys: [], tooLong: [] };
  }
  const { known, all, unknownKeys } = readMessage(ConfigurationFileSchema, tree, jsonText(tree));
  const file = decode(known);
  const violations = validateConfiguration(file);
  if (violations.length > 0) {
    const message = `invalid agent configuration: ${violations.join('; ')}`;
    throw new ConfigurationError(message, lineOf(violations[0] ?? '', tree));
  }
  return { file, forGitLab: all, unknownKeys, tooLong: tooLong(file) };
}

function parse(text: string): Tree | undefined {
  const { tree, problems } = parseYaml(text, '', true);
  const problem = problems[0];
  if (problem === undefined) return tree;
  if (problem.message.includes('once its aliases are resolved')) throw tooManyAliases();
  const line = problem.position?.line ?? 1;
  const { words, inScanner } = upstreamsWords(problem.message);
  // Upstream's YAML library counts lines from 0 in what its parser finds, and leaves out 0.
  const said = inScanner ? line : line - 1;
  const where = said > 0 ? `line ${said}: ` : '';
  throw new ConfigurationError(`failed to parse agent configuration: YAMLToJSON: yaml: ${where}${words}`, line);
}

/** What users may look for: the usual mistakes, as upstream's YAML library calls them. */
const WORDS: readonly (readonly [ours: RegExp, theirs: string, inScanner: boolean])[] = [
  [/flow sequence|end with a \]|, or \]/i, "did not find expected ',' or ']'", false],
  [/flow map|end with a \}|, or \}/i, "did not find expected ',' or '}'", false],
  [/tab/i, 'found character that cannot start any token', true],
  [/nested mappings are not allowed|compact mappings/i, 'mapping values are not allowed in this context', true],
  [/implicit (map )?keys? need/i, "could not find expected ':'", true],
  [/quote/i, 'found unexpected end of stream', true],
  [/call stack|nested too deeply/i, 'exceeded max depth', true],
  [/unresolved alias|no anchor/i, 'unknown anchor referenced', true],
];

function upstreamsWords(message: string): { words: string; inScanner: boolean } {
  for (const [ours, words, inScanner] of WORDS) if (ours.test(message)) return { words, inScanner };
  return { words: message.replace(/^bad YAML: /, ''), inScanner: true };
}

function decode(known: JsonObject): ConfigurationFile {
  try {
    return fromJson(ConfigurationFileSchema, known);
  } catch (error) {
    // What the reader lets through and the library does not: values out of range.
    throw new ConfigurationError(
      `failed to parse agent configuration: protojson.Unmarshal: ${errorText(error)}`,
      undefined,
      error,
    );
  }
}

/** The line of what a violation speaks of: its fields are named on the way down, the last one may not be there. */
function lineOf(violation: string, tree: Tree): number {
  let at = tree;
  for (const [, field = '', index] of violation.matchAll(/invalid \w+\.(\w+)(?:\[(\d+)\])?:/g)) {
    const name = field.replaceAll(/(?<!^)[A-Z]/g, '_$&').toLowerCase();
    const entry: Tree | undefined = at.kind === 'map' ? at.entries.get(name)?.value : undefined;
    const next = entry?.kind === 'list' && index !== undefined ? entry.items[Number(index)] : entry;
    if (next === undefined) break;
    at = next;
  }
  return at.position.line;
}

function tooLong({ ciAccess, userAccess }: ConfigurationFile): string[] {
  const lists = {
    'ci_access.projects': ciAccess?.projects,
    'ci_access.groups': ciAccess?.groups,
    'user_access.projects': userAccess?.projects,
    'user_access.groups': userAccess?.groups,
  };
  return Object.entries(lists)
    .filter(([, list]) => (list?.length ?? 0) > MAX_ENTRIES)
    .map(([name]) => name);
}
