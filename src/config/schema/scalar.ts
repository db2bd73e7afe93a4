import { isAbsolute, resolve } from 'node:path';
import type { Report } from '../problem.ts';
import { isUnset, type ScalarTree, type Tree } from '../yaml/tree.ts';
import { type Field, type Rule, shown } from './field.ts';

interface Spec<T> {
  readonly type: string;
  readonly doc: string;
  readonly shownDefault?: string | undefined;
  /** What an unset key is worth; not asked when the key is required. */
  readonly fallback: T;
  readonly required?: boolean;
  /** Never shown, neither in problems nor in the effective configuration. */
  readonly secret?: boolean;
  /** The value, or why there is none. */
  parse(scalar: ScalarTree, report: Report): { value: T } | { wrong: string };
  readonly rule?: Rule<T> | undefined;
  encode?(value: T): unknown;
}

/** A key whose value is one scalar. */
export function scalar<T>(spec: Spec<T>): Field<T> {
  return {
    type: spec.type,
    doc: spec.doc,
    shownDefault: spec.required ? undefined : spec.shownDefault,
    keys: undefined,
    retired: undefined,
    decode(tree: Tree | undefined, path: string, report: Report): T {
      const wrong = (text: string): T => {
        report.problem(path, text);
        return spec.fallback;
      };
      if (tree === undefined || isUnset(tree)) return spec.required ? wrong('is required') : spec.fallback;
      const parsed = tree.kind === 'scalar' ? spec.parse(tree, report) : { wrong: `is not a ${spec.type}` };
      if ('wrong' in parsed) return wrong(spec.secret ? parsed.wrong : `${shown(tree)} ${parsed.wrong}`);
      const broken = spec.rule?.(parsed.value);
      return broken === undefined ? parsed.value : wrong(spec.secret ? broken : `${shown(tree)} ${broken}`);
    },
    encode: (value) => (spec.secret ? undefined : spec.encode === undefined ? value : spec.encode(value)),
  };
}

interface Options<T> {
  readonly doc: string;
  readonly rule?: Rule<T>;
}

function parseString({ value }: ScalarTree): { value: string } | { wrong: string } {
  if (typeof value === 'string') return { value };
  return { wrong: 'is not a string (put it into quotes)' };
}

/** A string; empty means the default. */
export function text(options: Options<string> & { default?: string }): Field<string> {
  const fallback = options.default ?? '';
  return scalar({
    ...options,
    type: 'string',
    shownDefault: fallback === '' ? undefined : fallback,
    fallback,
    parse(tree) {
      const parsed = parseString(tree);
      return 'value' in parsed && parsed.value === '' ? { value: fallback } : parsed;
    },
    rule: (value) => (value === '' ? undefined : options.rule?.(value)),
    encode: (value) => (value === '' ? undefined : value),
  });
}

/** A string that must be there and not be empty. */
export function requiredText(options: Options<string>): Field<string> {
  return scalar({
    ...options,
    type: 'string',
    fallback: '',
    required: true,
    parse: parseString,
    rule: (value) => (value === '' ? 'must not be empty' : options.rule?.(value)),
  });
}

/** A string that may be absent but not be empty. */
export function optionalText(options: Options<string>): Field<string | undefined> {
  return scalar<string | undefined>({
    type: 'string',
    doc: options.doc,
    fallback: undefined,
    parse: parseString,
    rule: (value) => (value === '' ? 'must not be empty' : value === undefined ? undefined : options.rule?.(value)),
  });
}

/** A string that is shown nowhere. */
export function secretText(options: Options<string>): Field<string | undefined> {
  return scalar<string | undefined>({
    type: 'string',
    doc: options.doc,
    fallback: undefined,
    secret: true,
    parse: parseString,
  });
}

/**
 * A file's path, made absolute: relative ones start at the configuration file's folder.
 * @param presence `optional` takes the empty string for unset; `non-empty` and `required` refuse it
 */
export function file(options: {
  doc: string;
  presence?: 'optional' | 'non-empty' | 'required';
}): Field<string | undefined> {
  const presence = options.presence ?? 'optional';
  return scalar<string | undefined>({
    type: 'file',
    doc: options.doc,
    fallback: undefined,
    required: presence === 'required',
    parse(tree, report) {
      const parsed = parseString(tree);
      if ('wrong' in parsed) return parsed;
      if (parsed.value !== '') return { value: absolutePath(parsed.value, report.folder) };
      return presence === 'optional' ? { value: undefined } : { wrong: 'must not be empty' };
    },
  });
}

/** `path`, starting at `folder` if it is relative. */
export function absolutePath(path: string, folder: string): string {
  return isAbsolute(path) ? path : resolve(folder, path);
}

/** true or false (also `yes`, `no`, `on`, `off`). */
export function flag({ doc, fallback = false }: { doc: string; fallback?: boolean }): Field<boolean> {
  return scalar({
    doc,
    type: 'bool',
    shownDefault: String(fallback),
    fallback,
    parse: ({ value }) => (typeof value === 'boolean' ? { value } : { wrong: 'is not a bool (true or false)' }),
  });
}
