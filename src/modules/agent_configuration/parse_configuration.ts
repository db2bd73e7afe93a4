import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import type { Problem } from '../../config/problem.ts';
import { type ParsedYaml, parseYaml } from '../../config/yaml/parse.ts';
import type { Tree } from '../../config/yaml/tree.ts';
import { type ConfigurationFile, ConfigurationFileSchema } from '../../gen/gitlab/agent/agentcfg/agentcfg_pb.ts';
import { errorText } from '../../runtime/app_error.ts';
import { ConfigurationError } from './configuration_error.ts';
import { jsonText, tooManyAliases } from './json_text.ts';
import { readMessage, type UnknownKey } from './read_message.ts';
import { validateConfiguration } from './validate.ts';
import { yamlProblem } from './yaml_problem.ts';
import { yamlText } from './yaml_text.ts';

/** GitLab takes the first 500 of each list and does not say that it leaves out the rest. */
const MAX_ENTRIES = 500;
/** So many characters may be read again to have lines between brackets where they are. */
const MAX_REREAD = 1 << 20;
const INDENT = ' '.repeat(80);

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
  const tree = parse(yamlText(content));
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
  const { tree, problems } = parseAnyIndent(text);
  const problem = problems[0];
  if (problem === undefined) return tree;
  if (problem.message.includes('once its aliases are resolved')) throw tooManyAliases();
  const { words, line } = yamlProblem(problem, text);
  throw new ConfigurationError(`failed to parse agent configuration: YAMLToJSON: yaml: ${words}`, line);
}

/**
 * Between brackets lines may begin anywhere in YAML 1.1; our parser, which holds with 1.2 there, wants them indented. So lines
 * that it stops at are given that, and only then.
 */
function parseAnyIndent(text: string): ParsedYaml {
  const first = parseYaml(text, '', true);
  let parsed = first;
  const lines = text.split('\n');
  for (let read = text.length; read <= MAX_REREAD && isIndentProblem(parsed.problems[0]); ) {
    const at = parsed.problems[0]?.position ?? { line: 1, column: 1 };
    // Where the line before has nothing more, it is the next one that is meant.
    const line = at.column > 1 && (lines[at.line - 1] ?? '').length < at.column ? at.line : at.line - 1;
    const content = lines[line] ?? '';
    if (content.trim() === '' || content.startsWith(INDENT)) break;
    lines[line] = `${INDENT}${content}`;
    const indented = lines.join('\n');
    read += indented.length;
    parsed = parseYaml(indented, '', true);
  }
  return parsed.problems.length === 0 ? parsed : first;
}

function isIndentProblem(problem: Problem | undefined): boolean {
  return problem?.message.includes('must be sufficiently indented') ?? false;
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
