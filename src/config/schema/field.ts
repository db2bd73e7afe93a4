import type { Report } from '../problem.ts';
import type { Tree } from '../yaml/tree.ts';

/** One key of the configuration file: how it is read, checked, defaulted, printed and documented. */
export interface Field<T> {
  /** For people: `string`, `duration`, `section`, … */
  readonly type: string;
  /** What the key means, as Markdown. */
  readonly doc: string;
  /** For people, as it would stand in the file; undefined when there is no default. */
  readonly shownDefault: string | undefined;
  /** The keys of a section, or of each item of a list of sections. */
  readonly keys: Fields | undefined;
  /** Set when the key has had its day: why to drop it. It is still read. */
  readonly retired: string | undefined;
  /** The value with its default; problems go to the report, and something of the type comes back all the same. */
  decode(tree: Tree | undefined, path: string, report: Report): T;
  /** What `check-config --effective` prints; undefined leaves the key out. */
  encode(value: T): unknown;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a section's fields decode to; the names are those of the file. */
export type Decoded<K extends Fields> = { readonly [N in keyof K]: Value<K[N]> };

/** What a field decodes to. */
export type Value<F> = F extends Field<infer T> ? T : never;

/** A rule: what is wrong with the value, or undefined. */
export type Rule<T> = (value: T) => string | undefined;

/** `field`, with a warning for whoever still has it in the file. */
export function retired<T>(field: Field<T>, why: string): Field<T> {
  return { ...field, retired: why };
}

/** `field`, read and checked and then forgotten: upstream has long ignored it. */
export function ignored<T>(field: Field<T>): Field<T> {
  return { ...field, shownDefault: undefined, encode: () => undefined };
}

/** A value in an error text. */
export function shown(tree: Tree): string {
  if (tree.kind === 'map') return 'a mapping';
  if (tree.kind === 'list') return 'a list';
  return typeof tree.value === 'string' ? quoted(tree.value) : shortened(withoutSecrets(tree.source));
}

/** A text in an error text. */
export function quoted(value: string): string {
  return shortened(withoutSecrets(JSON.stringify(value)));
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** A URL may carry a password, or a key in its query; nobody needs to see them. */
function withoutSecrets(text: string): string {
  return withoutKeys(withoutPassword(text));
}

function withoutPassword(text: string): string {
  return text.replace(/(:\/\/[^\s/@:]*):[^\s/]*@/, '$1@');
}

/** The names of what is in the query stay. */
function withoutKeys(text: string): string {
  return text.replace(/(:\/\/[^\s?#]*\?)([^\s#"]*)/, (_, before, query) => before + withoutValues(query));
}

function withoutValues(query: string): string {
  return query
    .split('&')
    .map((part) => part.slice(0, part.indexOf('=') + 1))
    .join('&');
}

/** `field` for a URL, printed without its password. */
export function url(field: Field<string>): Field<string> {
  return { ...field, encode: (value) => field.encode(withoutPassword(value)) };
}

/** The same for one that may have a key in its query. */
export function urlWithKey(field: Field<string>): Field<string> {
  return { ...field, encode: (value) => field.encode(withoutSecrets(value)) };
}
