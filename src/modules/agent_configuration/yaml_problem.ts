import type { Problem } from '../../config/problem.ts';

/** What is wrong with a text that is no YAML, in upstream's words, which users look for. */
export interface YamlProblem {
  readonly words: string;
  /** Of the file, from 1. */
  readonly line: number;
}

/** What our parser says of a text, as far as its words need to be known. */
interface Found {
  readonly lines: readonly string[];
  /** From 1, where our parser sees the problem. */
  readonly line: number;
  readonly column: number;
  /** What our parser names in its message. */
  readonly named: string;
}

interface Said {
  readonly words: string;
  /** Upstream's scanner, its parser, and what comes behind the two count lines from 1, from 0, and not at all. */
  readonly by: 'scanner' | 'parser' | 'decoder';
  readonly line?: number;
}

const NO_KEY = 'did not find expected key';
const NO_COLON = "could not find expected ':'";
const NO_TOKEN = 'found character that cannot start any token';
const NO_MAPPING = 'mapping values are not allowed in this context';
const NO_NAME = 'did not find expected alphabetic or numeric character';

const SAID: readonly (readonly [ours: RegExp, theirs: (found: Found) => Said])[] = [
  [/flow (?:map|sequence) .*end with a (.)|must end with a (.)/i, unclosed],
  [/unexpected , in flow/i, () => ({ words: 'did not find expected node content', by: 'parser' })],
  [/tabs are not allowed/i, tab],
  [/nested mappings are not allowed|1024 chars/i, (found) => scanner(NO_MAPPING, lineOfColon(found))],
  [/keys? need to be on a single line/i, longKey],
  [/keys? need to be followed/i, (found) => scanner(NO_COLON, lineOfNext(found))],
  [/same line with key/i, () => scanner('block sequence entries are not allowed in this context')],
  [/cannot start with/i, () => scanner(NO_TOKEN)],
  [
    /escape sequence \\([\s\S])/i,
    ({ named }) =>
      scanner(`${/[xuU]/.test(named) ? 'did not find expected hexdecimal number' : 'found unknown escape character'}`),
  ],
  [/(?:alias|anchor) cannot be/i, () => scanner(NO_NAME)],
  [/closing ["']quote/i, () => scanner('found unexpected end of stream')],
  [
    /no anchor &(.*)$/s,
    ({ named }) => (/^[\w-]+$/.test(named) ? decoder(`unknown anchor '${named}' referenced`) : scanner(NO_NAME)),
  ],
  [/anchor &(.*) holds itself/s, ({ named }) => decoder(`anchor '${named}' value contains itself`)],
  [/<< takes/, () => decoder('map merge requires map or sequence of maps as the value')],
  [/same column|node end|without - indicator|implicit map key|at most one/i, misplaced],
  [/unexpected flow-\w+-end token/i, misplaced],
  [/call stack|nested too deeply/i, () => scanner('exceeded max depth')],
];

/** @param text what was parsed */
export function yamlProblem({ message, position }: Problem, text: string): YamlProblem {
  const line = position?.line ?? 1;
  for (const [ours, theirs] of SAID) {
    const match = ours.exec(message);
    if (match === null) continue;
    const named = match[1] ?? match[2] ?? '';
    const said = theirs({ lines: text.split('\n'), line, column: position?.column ?? 1, named });
    const seen = said.line ?? line;
    // Upstream leaves out a line 0, which is what both of the others begin with.
    const shown = said.by === 'decoder' || seen === 1 ? 0 : said.by === 'scanner' ? seen : seen - 1;
    return { words: `${shown > 0 ? `line ${shown}: ` : ''}${said.words}`, line: seen };
  }
  return { words: `line ${line}: ${message.replace(/^bad YAML: /, '')}`, line };
}

function scanner(words: string, line?: number): Said {
  return line === undefined ? { words, by: 'scanner' } : { words, by: 'scanner', line };
}

function decoder(words: string): Said {
  return { words, by: 'decoder' };
}

/** A bracket without its other half; behind another bracket or a comma upstream waits for a value first. */
function unclosed({ lines, line, column, named }: Found): Said {
  const before = [...lines.slice(0, line - 1), (lines[line - 1] ?? '').slice(0, column - 1)].join('\n').trimEnd();
  const words = /[[{,]$/.test(before)
    ? 'did not find expected node content'
    : `did not find expected ',' or '${named}'`;
  return { words, by: 'parser' };
}

/** Behind a plain text a tab could still belong to that. */
function tab({ lines, line }: Found): Said {
  const before = lines.slice(0, line - 1).findLast((other) => other.trim() !== '') ?? ':';
  return scanner(/[:\-?,[{"'|>]\s*$/.test(before) ? NO_TOKEN : 'found a tab character that violates indentation');
}

/** A text of several lines with a colon behind it. */
function longKey(found: Found): Said {
  const { lines, line, column } = found;
  if (/^- /.test((lines[line - 1] ?? '').slice(column - 1))) return misplaced(found);
  // Where keys are due, the colon is missed; elsewhere it is the colon that surprises.
  return scanner(siblingOf(found) === 'key' ? NO_COLON : NO_MAPPING, lineOfColon(found));
}

/** Something that is not what should stand in its column. */
function misplaced(found: Found): Said {
  return { words: siblingOf(found) === 'item' ? "did not find expected '-' indicator" : NO_KEY, by: 'parser' };
}

/** What the nearest line before says that stands in the same column. */
function siblingOf({ lines, line, column: seen }: Found): 'key' | 'item' | undefined {
  // Of lines that begin in the wrong column our parser names the first one.
  const column = Math.max(seen, (lines[line - 1] ?? '').search(/\S/) + 1);
  for (const other of lines.slice(0, line - 1).reverse()) {
    const [all = '', indent = '', dashes = ''] = /^( *)((?:- +)*)/.exec(other) ?? [];
    if (other.trim() === '' || all.length + 1 > column) {
      if (dashes !== '' && indent.length + 1 === column) return 'item';
      continue;
    }
    if (all.length + 1 < column) return undefined;
    return /:(\s|$)/.test(other) ? 'key' : undefined;
  }
  return undefined;
}

/** Where the next colon is that makes a key. */
function lineOfColon({ lines, line, column }: Found): number {
  const from = [(lines[line - 1] ?? '').slice(column - 1), ...lines.slice(line)];
  const at = from.findIndex((text) => /:(\s|$)/.test(text));
  return at === -1 ? line : line + at;
}

/** Where something follows, or the text ends. */
function lineOfNext({ lines, line }: Found): number {
  const at = lines.slice(line).findIndex((text) => !/^\s*(#|$)/.test(text));
  return at === -1 ? lines.length : line + 1 + at;
}
