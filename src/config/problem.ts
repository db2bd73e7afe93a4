/** Where something stands: `source` is the file as the caller named it, or `<command>`; line and column count from 1. */
export interface Position {
  readonly source: string;
  readonly line: number;
  readonly column: number;
}

/** Something wrong with the configuration, with the place to look at. */
export interface Problem {
  /** Undefined when there is no place to show, for instance for a file that cannot be read. */
  readonly position: Position | undefined;
  /** The key with its parents, `agent.listen.network`; empty when the problem is not about one key. */
  readonly path: string;
  readonly message: string;
}

/** `FILE:LINE:COL: agent.listen.network: what is wrong`. */
export function formatProblem({ position, path, message }: Problem): string {
  const place = position === undefined ? '' : `${position.source}:${position.line}:${position.column}: `;
  return `${place}${path === '' ? '' : `${path}: `}${message}`;
}

/** Collects the problems and warnings of one configuration, so that all of them are shown at once. */
export class Report {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** Relative paths start here. */
  readonly folder: string;
  readonly #positions = new Map<string, Position>();
  readonly #failed = new Set<string>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Remembers where the value of `path` stands. */
  locate(path: string, position: Position): void {
    this.#positions.set(path, position);
  }

  /** What is wrong with the value of `path`. A key that is not in the file is shown at its parent's place. */
  problem(path: string, message: string): void {
    this.#failed.add(path);
    this.problems.push({ position: this.#position(path), path, message });
  }

  warn(path: string, message: string): void {
    this.warnings.push({ position: this.#position(path), path, message });
  }

  /** Whether `path` itself has a problem, so that rules about several keys can keep quiet about it. */
  failed(path: string): boolean {
    return this.#failed.has(path);
  }

  #position(path: string): Position | undefined {
    for (let at = path; at !== ''; at = parentPath(at)) {
      const position = this.#positions.get(at);
      if (position !== undefined) return position;
    }
    return this.#positions.get('');
  }
}

/** `a.b` for `a` and `b`; `b` at the top. */
export function childPath(parent: string, key: string): string {
  return parent === '' ? key : `${parent}.${key}`;
}

function parentPath(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('.'), path.lastIndexOf('[')));
}

/** In the order of the text; the file before the output of its command. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  const sources: string[] = [];
  for (const { position } of problems) {
    if (position !== undefined && !sources.includes(position.source)) sources.push(position.source);
  }
  sources.sort((a, b) => Number(a === commandSource) - Number(b === commandSource));
  const rank = ({ position }: Problem): number[] =>
    position === undefined ? [-1, 0, 0] : [sources.indexOf(position.source), position.line, position.column];
  return problems.toSorted((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const at = x.findIndex((value, i) => value !== y[i]);
    return at < 0 ? 0 : (x[at] ?? 0) - (y[at] ?? 0);
  });
}

/** What stands in place of the file's name for what `config.command` printed. */
export const commandSource = '<command>';
