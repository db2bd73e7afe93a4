import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type Tags,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Position, Problem } from '../problem.ts';
import type { MapEntry, Tree } from './tree.ts';

/** More than any configuration needs; less than an alias bomb makes. */
const maxNodes = 100_000;
const maxDepth = 64;

export interface ParsedYaml {
  /** Undefined when the text is no YAML, or is empty. */
  readonly tree: Tree | undefined;
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

/**
 * Reads the first document of `text` as YAML 1.1, the flavour of the configuration file: `yes`, `no`, `on` and `off` are
 * booleans. Times, dates and binary are left as the strings they are written as. Never throws.
 * @param source what to call the text in positions
 * @param duplicateKeys whether a key may come twice in a mapping; the last one counts then
 */
export function parseYaml(text: string, source: string, duplicateKeys = false): ParsedYaml {
  const lines = new LineCounter();
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col };
  };
  const problem = (offset: number, message: string): Problem => ({ position: at(offset), path: '', message });
  try {
    const documents = parseAllDocuments(text, {
      version: '1.1',
      customTags: withoutSurprises,
      intAsBigInt: true,
      uniqueKeys: !duplicateKeys,
      lineCounter: lines,
      logLevel: 'silent',
      // The default puts the line's text into the message, and a line may hold a password.
      prettyErrors: false,
    });
    const document = Array.isArray(documents) ? documents[0] : undefined;
    if (document === undefined) return { tree: undefined, problems: [], warnings: [] };
    const problems = document.errors.map((error) => problem(error.pos[0], `bad YAML: ${error.message}`));
    const warnings = document.warnings.map((warning) => problem(warning.pos[0], warning.message));
    const second = Array.isArray(documents) ? documents[1] : undefined;
    if (second !== undefined) {
      warnings.push(problem(second.range[0], 'only the first document of the file is read, the rest is ignored'));
    }
    if (problems.length > 0 || document.contents === null) return { tree: undefined, problems, warnings };
    const builder = new TreeBuilder(at);
    const tree = builder.build(document.contents as Node, 0);
    return { tree: builder.problems.length > 0 ? undefined : tree, problems: builder.problems, warnings };
  } catch (error) {
    // The library recurses into what it reads; some thousands of opening brackets are enough to end its stack.
    if (error instanceof RangeError) {
      return { tree: undefined, problems: [problem(0, 'bad YAML: nested too deeply')], warnings: [] };
    }
    throw error;
  }
}

/** YAML 1.1 reads `1:30` as 90, `2023-10-16` as a time and knows sets and ordered maps: nobody means these here. */
function withoutSurprises(tags: Tags): Tags {
  return tags.filter((tag) => {
    if (typeof tag === 'string') return true;
    if (tag.tag === 'tag:yaml.org,2002:int' || tag.tag === 'tag:yaml.org,2002:float') return tag.format !== 'TIME';
    return !/:(?:timestamp|binary|omap|pairs|set)$/.test(tag.tag);
  });
}

class TreeBuilder {
  readonly problems: Problem[] = [];
  readonly #at: (offset: number) => Position;
  /** By name, the last one before the place that is read. The library would walk the document for each alias. */
  readonly #anchors = new Map<string, Node>();
  #inAliases = 0;
  /** What is being built, from the outside in. */
  readonly #open = new Set<Node>();
  #nodes = 0;

  constructor(at: (offset: number) => Position) {
    this.#at = at;
  }

  build(node: Node | null, depth: number, parent: Position = this.#at(0)): Tree {
    const position = node?.range ? this.#at(node.range[0]) : parent;
    const unset: Tree = { kind: 'scalar', value: null, source: '', position };
    if (node === null || this.problems.length > 0) return unset;
    this.#nodes++;
    if (this.#nodes > maxNodes) return this.#fail(position, 'bad YAML: too large once its aliases are resolved', unset);
    if (depth > maxDepth) return this.#fail(position, 'bad YAML: nested too deeply', unset);
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target === undefined) return this.#fail(position, `bad YAML: no anchor &${node.source}`, unset);
      if (this.#open.has(target)) return this.#fail(position, `bad YAML: anchor &${node.source} holds itself`, unset);
      this.#inAliases++;
      const tree = this.build(target, depth + 1, position);
      this.#inAliases--;
      return tree;
    }
    if (node.anchor !== undefined && this.#inAliases === 0) this.#anchors.set(node.anchor, node);
    if (isMap(node) || isSeq(node)) {
      this.#open.add(node);
      const tree = this.#collection(node, depth, position);
      this.#open.delete(node);
      return tree;
    }
    if (!isScalar(node)) return unset;
    // The library takes a lone `.` for a number.
    const value = Number.isNaN(node.value) && !/nan/i.test(node.source ?? '') ? node.source : node.value;
    const known = ['string', 'number', 'bigint', 'boolean'].includes(typeof value);
    return { ...unset, value: known ? (value as string) : null, source: node.source ?? String(value) };
  }

  #collection(node: YAMLMap | YAMLSeq, depth: number, position: Position): Tree {
    if (isMap(node)) return { kind: 'map', entries: this.#entries(node, depth, position), position };
    return { kind: 'list', items: node.items.map((item) => this.build(item as Node, depth + 1, position)), position };
  }

  #entries(node: YAMLMap, depth: number, position: Position): Map<string, MapEntry> {
    const own = new Map<string, MapEntry>();
    const merged = new Map<string, MapEntry>();
    for (const pair of node.items) {
      const key = pair.key as Node | null;
      const keyPosition = key?.range ? this.#at(key.range[0]) : position;
      const value = this.build(pair.value as Node | null, depth + 1, keyPosition);
      if (!isScalar(key)) {
        this.#fail(keyPosition, 'bad YAML: a key must be a plain name', undefined);
      } else if (key.source === '<<' && key.type === 'PLAIN') {
        for (const from of value.kind === 'list' ? value.items : [value]) {
          if (from.kind !== 'map') this.#fail(keyPosition, 'bad YAML: << takes a mapping or a list of them', undefined);
          else for (const [name, entry] of from.entries) if (!merged.has(name)) merged.set(name, entry);
        }
      } else {
        own.set(key.source ?? String(key.value), { keyPosition, value });
      }
    }
    return new Map([...merged, ...own]);
  }

  #fail<T>(position: Position, message: string, result: T): T {
    if (this.problems.length === 0) this.problems.push({ position, path: '', message });
    return result;
  }
}
