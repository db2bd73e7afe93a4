import { childPath, Report } from '../problem.ts';
import { isUnset, type MapTree, type Tree } from '../yaml/tree.ts';
import { type Decoded, type Field, type Fields, shown } from './field.ts';
import { didYouMean } from './suggest.ts';

interface SectionOptions<K extends Fields> {
  readonly doc: string;
  readonly keys: K;
  /** A rule about several keys. Called when the section is there or defaulted; it reports what it finds. */
  check?(value: Decoded<K>, path: string, report: Report): void;
}

/** A mapping with the given keys. Absent means that all of them are defaulted. */
export function section<K extends Fields>(options: SectionOptions<K>): Field<Decoded<K>> {
  const { keys, doc } = options;
  return {
    type: 'section',
    doc,
    shownDefault: undefined,
    keys,
    retired: undefined,
    decode: (tree, path, report) => decodeKeys(tree, options, path, report),
    encode: (value) => encodeKeys(keys, value),
  };
}

/** A mapping whose presence means something: absent (or null) is undefined. */
export function optionalSection<K extends Fields>(options: SectionOptions<K>): Field<Decoded<K> | undefined> {
  return { ...section(options), ...optional(options) };
}

function optional<K extends Fields>(
  options: SectionOptions<K>,
): Pick<Field<Decoded<K> | undefined>, 'decode' | 'encode' | 'shownDefault'> {
  return {
    shownDefault: 'absent',
    decode: (tree, path, report) => (isUnset(tree) ? undefined : decodeKeys(tree, options, path, report)),
    encode: (value) => (value === undefined ? undefined : encodeKeys(options.keys, value)),
  };
}

/** A mapping that is known to upstream and means nothing here (yet): any content will do, and none of it is kept. */
export function unreadSection(options: { doc: string }): Field<undefined> {
  return {
    type: 'section',
    doc: options.doc,
    shownDefault: 'absent',
    keys: undefined,
    retired: undefined,
    decode(tree, path, report) {
      if (tree !== undefined && !isUnset(tree) && tree.kind !== 'map') {
        report.problem(path, `${shown(tree)} is not a mapping`);
      }
      return undefined;
    },
    encode: () => undefined,
  };
}

/** A list whose items are all of one kind. Absent is empty. */
export function list<T>(options: { doc: string; item: Field<T>; nonEmpty?: boolean }): Field<readonly T[]> {
  return {
    type: options.item.keys === undefined ? `list of ${options.item.type}s` : 'list of sections',
    doc: options.doc,
    shownDefault: undefined,
    keys: options.item.keys,
    retired: undefined,
    decode(tree, path, report) {
      if (tree === undefined || isUnset(tree)) {
        if (options.nonEmpty) report.problem(path, 'is required');
        return [];
      }
      if (tree.kind !== 'list') {
        report.problem(path, `${shown(tree)} is not a list`);
        return [];
      }
      if (options.nonEmpty && tree.items.length === 0) report.problem(path, 'must have at least one item');
      return tree.items.map((item, i) => {
        const itemPath = `${path}[${i}]`;
        report.locate(itemPath, item.position);
        if (isUnset(item)) report.problem(itemPath, 'an item of a list must not be null');
        return options.item.decode(item, itemPath, report);
      });
    },
    encode: (items) => (items.length === 0 ? undefined : items.map((item) => options.item.encode(item))),
  };
}

function decodeKeys<K extends Fields>(
  tree: Tree | undefined,
  { keys, check }: SectionOptions<K>,
  path: string,
  report: Report,
): Decoded<K> {
  if (tree !== undefined && !isUnset(tree) && tree.kind !== 'map') {
    report.problem(path, `${shown(tree)} is not a mapping`);
    return silently(keys, path);
  }
  const map = tree?.kind === 'map' ? tree : undefined;
  if (map !== undefined) warnAboutKeys(map, keys, path, report);
  const decoded = Object.entries(keys).map(([name, field]) => {
    const keyPath = childPath(path, name);
    const entry = map?.entries.get(name);
    if (entry !== undefined) {
      // A section is shown by its name: its first value may be lines away from what is missing in it.
      report.locate(keyPath, entry.value.kind === 'map' ? entry.keyPosition : entry.value.position);
    }
    return [name, field.decode(entry?.value, keyPath, report)];
  });
  const value = Object.fromEntries(decoded) as Decoded<K>;
  check?.(value, path, report);
  return value;
}

/** All defaults, without a word about what is missing: the section itself has a problem already. */
function silently<K extends Fields>(keys: K, path: string): Decoded<K> {
  const unheard = new Report('/');
  return Object.fromEntries(
    Object.entries(keys).map(([name, field]) => [name, field.decode(undefined, childPath(path, name), unheard)]),
  ) as Decoded<K>;
}

function warnAboutKeys(map: MapTree, keys: Fields, path: string, report: Report): void {
  for (const [name, entry] of map.entries) {
    const field = Object.hasOwn(keys, name) ? keys[name] : undefined;
    const keyPath = childPath(path, name);
    if (field?.retired !== undefined && !isUnset(entry.value)) {
      report.warnings.push({ position: entry.keyPosition, path: keyPath, message: field.retired });
    } else if (field === undefined) {
      const message = `unknown key, ignored${didYouMean(name, Object.keys(keys))}`;
      report.warnings.push({ position: entry.keyPosition, path: keyPath, message });
    }
  }
}

function encodeKeys<K extends Fields>(keys: K, value: Decoded<K>): unknown {
  const encoded = Object.entries(keys).map(([name, field]) => [name, field.encode(value[name as keyof K])]);
  return Object.fromEntries(encoded.filter(([, member]) => member !== undefined));
}
