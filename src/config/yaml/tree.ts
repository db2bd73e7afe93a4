import type { Position } from '../problem.ts';

/** A YAML document with aliases and merge keys resolved, every value with its place. `null` means unset. */
export type Tree = ScalarTree | MapTree | ListTree;

export interface ScalarTree {
  readonly kind: 'scalar';
  readonly value: string | number | bigint | boolean | null;
  /** As written in the file: `0x10` where the value is 16. */
  readonly source: string;
  readonly position: Position;
}

export interface MapTree {
  readonly kind: 'map';
  readonly entries: Map<string, MapEntry>;
  readonly position: Position;
}

export interface MapEntry {
  readonly keyPosition: Position;
  readonly value: Tree;
}

export interface ListTree {
  readonly kind: 'list';
  readonly items: readonly Tree[];
  readonly position: Position;
}

/** Whether a value counts as not there. */
export function isUnset(tree: Tree | undefined): boolean {
  return tree === undefined || (tree.kind === 'scalar' && tree.value === null);
}

/**
 * Puts `over` on top of `base`: mappings are merged key by key, everything else is replaced, an unset value replaces
 * nothing. Of `alternatives` (paths like `redis.server`) only the one that came last stays.
 */
export function mergeTrees(
  base: MapTree,
  over: MapTree,
  alternatives: readonly (readonly string[])[],
  path = '',
): MapTree {
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    if (isUnset(entry.value)) continue;
    const below = entries.get(key);
    const keyPath = path === '' ? key : `${path}.${key}`;
    for (const group of alternatives) {
      if (!group.includes(keyPath)) continue;
      for (const other of group) {
        if (other !== keyPath) entries.delete(other.slice(other.lastIndexOf('.') + 1));
      }
    }
    const merged =
      entry.value.kind === 'map' && below?.value.kind === 'map'
        ? { keyPosition: entry.keyPosition, value: mergeTrees(below.value, entry.value, alternatives, keyPath) }
        : entry;
    entries.set(key, merged);
  }
  return { kind: 'map', entries, position: base.position };
}
