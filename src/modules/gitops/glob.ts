/** Braces multiply: what a glob of a few hundred letters may stand for. */
const MAX_ALTERNATIVES = 1000;
const META = /[\\*?[\]{}]/;

/** A glob that makes no sense. */
export class GlobError extends Error {
  constructor(glob: string, problem: string) {
    super(`glob ${glob} match failed: ${problem}`);
    this.name = 'GlobError';
  }
}

/** Where the files that a glob may match are, from the repository's root. */
export interface GlobFolder {
  /** `.` for the root. */
  readonly path: string;
  readonly recursive: boolean;
}

/** The longest folder in front of a glob's first special character. */
export function folderOf(glob: string): GlobFolder {
  const special = glob.search(META);
  const slash = (special === -1 ? glob : glob.slice(0, special)).lastIndexOf('/');
  const rest = glob.slice(slash + 1);
  return { path: slash > 0 ? glob.slice(0, slash) : '.', recursive: /[/[]|\*\*/.test(rest) };
}

type Step =
  | { readonly kind: 'one'; readonly test: (char: string) => boolean }
  /** Any number of characters, except slashes. */
  | { readonly kind: 'star' }
  /** Any number of characters. */
  | { readonly kind: 'rest' }
  /** The folders that follow, each with its slash, or none. */
  | { readonly kind: 'maybe folders' }
  | { readonly kind: 'folders' };

/**
 * Matches whole paths as doublestar does (docs/protocol/gitops.md). Follows all ways to match at once, because globs come from
 * repositories: a regular expression could be made to take for ever.
 */
export class Glob {
  readonly #alternatives: readonly (readonly Step[])[];

  /** @throws GlobError */
  constructor(glob: string) {
    this.#alternatives = alternatives(glob).map((alternative) => steps(glob, alternative));
  }

  matches(path: string): boolean {
    return this.#alternatives.some((one) => matches(one, path));
  }
}

function matches(pattern: readonly Step[], path: string): boolean {
  let states = new Set<number>();
  enter(pattern, 0, states);
  for (const char of path) {
    const next = new Set<number>();
    for (const state of states) {
      const step = pattern[state];
      if (step === undefined) continue;
      if (step.kind === 'one') {
        if (step.test(char)) enter(pattern, state + 1, next);
      } else if (step.kind === 'star') {
        if (char !== '/') enter(pattern, state, next);
      } else if (step.kind === 'rest') {
        enter(pattern, state, next);
      } else if (step.kind === 'folders') {
        next.add(state);
        if (char === '/') enter(pattern, state + 1, next);
      }
    }
    states = next;
  }
  return states.has(pattern.length);
}

/** Adds a state, and those that follow it without a character. */
function enter(pattern: readonly Step[], state: number, states: Set<number>): void {
  if (states.has(state)) return;
  states.add(state);
  const kind = pattern[state]?.kind;
  if (kind === 'star' || kind === 'rest' || kind === 'maybe folders') enter(pattern, state + 1, states);
  if (kind === 'maybe folders') enter(pattern, state + 2, states);
}

/** The glob without braces, in each of its ways. */
function alternatives(glob: string): string[] {
  const done: string[] = [];
  const todo = [glob];
  for (let one = todo.pop(); one !== undefined; one = todo.pop()) {
    const braces = firstBraces(glob, one);
    if (braces === undefined) done.push(one);
    else {
      const { start, end, options } = braces;
      for (const option of options) todo.push(one.slice(0, start) + option + one.slice(end + 1));
    }
    if (done.length + todo.length > MAX_ALTERNATIVES) throw new GlobError(glob, 'too many alternatives');
  }
  return done;
}

function firstBraces(glob: string, text: string): { start: number; end: number; options: string[] } | undefined {
  const options: string[] = [];
  let start = -1;
  let from = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '\\') i++;
    else if (char === '[' && depth === 0) i = Math.max(i, classEnd(text, i));
    else if (char === '{' && depth++ === 0) {
      start = i;
      from = i + 1;
    } else if (char === ',' && depth === 1) {
      options.push(text.slice(from, i));
      from = i + 1;
    } else if (char === '}' && depth > 0 && --depth === 0) {
      options.push(text.slice(from, i));
      return { start, end: i, options };
    }
  }
  if (depth > 0) throw new GlobError(glob, 'syntax error in pattern');
  return undefined;
}

/** Where the class that begins at `start` ends; -1: nowhere. */
function classEnd(text: string, start: number): number {
  const first = text[start + 1] === '^' ? start + 2 : start + 1;
  for (let i = first; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === ']') return i > first ? i : -1;
  }
  return -1;
}

function steps(glob: string, pattern: string): Step[] {
  const found: Step[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] ?? '';
    if (char === '*') {
      let end = i;
      while (pattern[end + 1] === '*') end++;
      const whole = end === i + 1 && (i === 0 || pattern[i - 1] === '/');
      i = end;
      if (whole && end + 1 === pattern.length) found.push({ kind: 'rest' });
      else if (whole && pattern[end + 1] === '/') {
        found.push({ kind: 'maybe folders' }, { kind: 'folders' });
        i++;
      } else found.push({ kind: 'star' });
    } else if (char === '?') found.push({ kind: 'one', test: (one) => one !== '/' });
    else if (char === '[') {
      const end = classEnd(pattern, i);
      if (end === -1) throw new GlobError(glob, 'syntax error in pattern');
      found.push({ kind: 'one', test: characterClass(glob, pattern.slice(i + 1, end)) });
      i = end;
    } else {
      const codePoint = pattern.codePointAt(char === '\\' ? ++i : i);
      if (codePoint === undefined) throw new GlobError(glob, 'syntax error in pattern');
      const literal = String.fromCodePoint(codePoint);
      found.push({ kind: 'one', test: (one) => one === literal });
      i += literal.length - 1;
    }
  }
  return found;
}

function characterClass(glob: string, content: string): (char: string) => boolean {
  const negated = content.startsWith('^');
  const chars = Array.from((negated ? content.slice(1) : content).matchAll(/\\(.)|(.)/gsu), ([, escaped, plain]) => ({
    char: escaped ?? plain ?? '',
    dash: plain === '-',
  }));
  const ranges: [string, string][] = [];
  for (let i = 0; i < chars.length; i++) {
    const low = chars[i]?.char ?? '';
    const isRange = chars[i + 1]?.dash ?? false;
    const high = isRange ? (chars[i + 2]?.char ?? '') : undefined;
    // A dash or a bracket that means itself is written with a backslash.
    if (chars[i]?.dash || (isRange && (high === '' || chars[i + 2]?.dash)))
      throw new GlobError(glob, 'syntax error in pattern');
    if (high !== undefined) i += 2;
    if (high !== undefined && high < low) throw new GlobError(glob, 'syntax error in pattern');
    ranges.push([low, high ?? low]);
  }
  return (char) => char !== '/' && ranges.some(([low, high]) => low <= char && char <= high) !== negated;
}
