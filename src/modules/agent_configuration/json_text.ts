import type { ScalarTree, Tree } from '../../config/yaml/tree.ts';
import { ConfigurationError } from './configuration_error.ts';

/** Aliases can make much of little: a file may be 128 KiB, but name each of its texts a thousand times. */
const MAX_JSON_CHARACTERS = 4 << 20;

/** A document in JSON, and where in it each value begins. */
export interface JsonText {
  readonly text: string;
  /** Columns of the only line, from 1. */
  readonly columns: ReadonlyMap<Tree, number>;
}

/**
 * The document as upstream turns it into JSON, keys in order and without spaces: error texts name columns of it.
 * @throws ConfigurationError if aliases make it grow beyond all bounds
 */
export function jsonText(tree: Tree): JsonText {
  const pieces: string[] = [];
  const columns = new Map<Tree, number>();
  let length = 0;
  const put = (text: string) => {
    length += text.length;
    if (length > MAX_JSON_CHARACTERS) throw tooManyAliases();
    pieces.push(text);
  };
  const visit = (node: Tree): void => {
    columns.set(node, length + 1);
    if (node.kind === 'scalar') put(scalarText(node));
    else if (node.kind === 'list') {
      put('[');
      node.items.forEach((item, i) => {
        if (i > 0) put(',');
        visit(item);
      });
      put(']');
    } else {
      put('{');
      [...node.entries].sort(byKey).forEach(([key, { value }], i) => {
        put(`${i > 0 ? ',' : ''}${JSON.stringify(key)}:`);
        visit(value);
      });
      put('}');
    }
  };
  visit(tree);
  return { text: pieces.join(''), columns };
}

/** A scalar as JSON has it. */
export function scalarText({ value, position }: ScalarTree): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value)) {
    const name = Number.isNaN(value) ? 'NaN' : `${value > 0 ? '+' : '-'}Inf`;
    throw new ConfigurationError(
      `failed to parse agent configuration: YAMLToJSON: json: unsupported value: ${name}`,
      position.line,
    );
  }
  return JSON.stringify(value);
}

/** A document whose aliases, once resolved, are more than anyone means. */
export function tooManyAliases(): ConfigurationError {
  return new ConfigurationError(
    'failed to parse agent configuration: YAMLToJSON: yaml: document contains excessive aliasing',
  );
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
