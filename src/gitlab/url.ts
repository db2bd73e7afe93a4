export type Query = Readonly<Record<string, string | readonly string[]>>;

/**
 * The request target of an API call: path and query of `gitlab.address` with the call's own behind them. Exactly one slash
 * stands between the two paths. The address' query takes part in every call; where both have a key, the call's values
 * count. Keys are sorted.
 *
 * A string and not a URL, which would resolve `..` and so let a path leave the place where it belongs.
 *
 * @param path as it goes onto the wire, already escaped
 */
export function requestTarget(base: URL, path: string, query: Query = {}): string {
  const parameters = new URLSearchParams(base.search);
  for (const [key, values] of Object.entries(query)) {
    parameters.delete(key);
    for (const value of typeof values === 'string' ? [values] : values) parameters.append(key, value);
  }
  parameters.sort();
  return `${base.pathname.replace(/\/$/, '')}/${path.replace(/^\//, '')}${parameters.size === 0 ? '' : `?${parameters}`}`;
}

/** The URL of a request as error texts show it: query values may be secrets and are replaced by `x`. */
export function maskedUrl(base: URL, target: string): string {
  const [path, query] = splitTarget(target);
  const keys = [...new URLSearchParams(query).keys()];
  return `${base.origin}${path}${keys.length === 0 ? '' : `?${keys.map((key) => `${encodeURIComponent(key)}=x`).join('&')}`}`;
}

function splitTarget(target: string): [string, string] {
  const mark = target.indexOf('?');
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
}
