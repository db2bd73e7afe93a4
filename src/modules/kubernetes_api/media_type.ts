/** One alternative of an `Accept` header. */
interface Clause {
  readonly type: string;
  readonly subtype: string;
  readonly quality: number;
  readonly parameters: ReadonlyMap<string, string>;
}

export const STATUS_MEDIA_TYPES = [
  'application/json',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
] as const;
export type StatusMediaType = (typeof STATUS_MEDIA_TYPES)[number];

/**
 * Chooses among the media types of a Kubernetes Status the way an API server does (docs/protocol/kubernetes_api.md,
 * "Errors"). Undefined: the client takes none of them.
 */
export function negotiate(accept: string | undefined): { type: StatusMediaType; pretty: boolean } | undefined {
  if (accept === undefined || accept === '') return { type: 'application/json', pretty: false };
  for (const clause of parseAccept(accept)) {
    const type = STATUS_MEDIA_TYPES.find((candidate) => matches(clause, candidate));
    if (type !== undefined && isServed(clause.parameters, type)) {
      return { type, pretty: clause.parameters.get('pretty') === '1' };
    }
  }
  return undefined;
}

function matches({ type, subtype }: Clause, candidate: string): boolean {
  if (type === '*') return subtype === '*';
  const slash = candidate.indexOf('/');
  return type === candidate.slice(0, slash) && (subtype === '*' || subtype === candidate.slice(slash + 1));
}

/** A Status is neither a Table nor of another version, and streams exist only as watches. */
function isServed(parameters: ReadonlyMap<string, string>, type: StatusMediaType): boolean {
  if (parameters.has('as') || parameters.has('g') || parameters.has('v')) return false;
  if (parameters.get('sv')) return false;
  const stream = parameters.get('stream');
  return stream === undefined || (stream === 'watch' && type !== 'application/yaml');
}

/** The clauses by falling quality, wildcards behind the definite ones, otherwise in the order given. */
function parseAccept(accept: string): Clause[] {
  const clauses: Clause[] = [];
  for (const part of accept.split(',')) {
    const [range = '', ...rest] = part.split(';').map((piece) => piece.trim());
    const types = range.toLowerCase().split('/');
    if (types.length > 2 || (types.length === 1 && types[0] !== '*')) continue;
    const parameters = new Map<string, string>();
    let quality = 1;
    for (const piece of rest) {
      const equals = piece.indexOf('=');
      if (equals === -1) continue;
      const name = piece.slice(0, equals).trim().toLowerCase();
      const value = piece.slice(equals + 1).trim();
      if (name === 'q') quality = Number(value) || 0;
      else parameters.set(name, value);
    }
    // API servers take a quality of 0, or one that is no number, for "rather something else".
    clauses.push({ type: types[0]!, subtype: types[1] ?? '*', quality, parameters });
  }
  return clauses.sort((a, b) => b.quality - a.quality || wildcards(a) - wildcards(b));
}

function wildcards({ type, subtype }: Clause): number {
  return Number(type === '*') * 2 + Number(subtype === '*');
}
