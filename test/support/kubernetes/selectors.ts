import type { Json, KubernetesObject } from './store.ts';

/** The filter that `labelSelector` and `fieldSelector` of a list or watch stand for. */
export function selector(query: URLSearchParams): (object: KubernetesObject) => boolean {
  const labels = terms(query.get('labelSelector'));
  const fields = terms(query.get('fieldSelector'));
  return (object) =>
    labels.every((matches) => matches((name) => object.metadata.labels?.[name])) &&
    fields.every((matches) => matches((path) => field(object, path)));
}

type Term = (read: (name: string) => string | undefined) => boolean;

function terms(text: string | null): Term[] {
  // A comma inside `in (a,b)` does not separate terms.
  return (text ?? '')
    .split(/,(?![^(]*\))/)
    .filter((term) => term.trim() !== '')
    .map(term);
}

function term(text: string): Term {
  const set = /^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$/.exec(text);
  if (set !== null) {
    const values = set[3]!.split(',').map((value) => value.trim());
    return (read) => values.includes(read(set[1]!) ?? '') === (set[2] === 'in');
  }
  const comparison = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(\S*)\s*$/.exec(text);
  if (comparison !== null)
    return (read) => ((read(comparison[1]!) ?? '') === comparison[3]) === (comparison[2] !== '!=');
  const absent = text.trim().startsWith('!');
  const name = text.trim().replace(/^!/, '');
  return (read) => (read(name) === undefined) === absent;
}

function field(object: Json, path: string): string | undefined {
  let at: unknown = object;
  for (const part of path.split('.')) at = (at as Json | undefined)?.[part];
  return at === undefined ? undefined : String(at);
}
