/** What CORS says about a request: nothing, the origin whose scripts may read the answer, or refused. */
export type Origin = { readonly allowed: string | undefined } | 'refused';

const NO_ORIGIN: Origin = { allowed: undefined };

/**
 * Only GitLab's own pages may use the proxy from a browser. The comparison is of strings, so that nothing clever about
 * ports or slashes can ever let another origin in.
 */
export function checkOrigin(origin: string | undefined, externalUrl: string): Origin {
  if (origin === undefined) return NO_ORIGIN;
  return externalUrl !== '' && origin === externalUrl ? { allowed: origin } : 'refused';
}

/** Adds the CORS headers for an allowed origin to a flat header list. */
export function addCorsHeaders(headers: string[], allowedOrigin: string | undefined): void {
  if (allowedOrigin === undefined) return;
  headers.push(
    'Access-Control-Allow-Credentials',
    'true',
    'Access-Control-Allow-Origin',
    allowedOrigin,
    'Vary',
    'Origin',
  );
}

/** The headers of a preflight's answer, besides those of addCorsHeaders. */
export function preflightHeaders(requestHeaders: readonly string[]): string[] {
  const headers: string[] = [];
  for (const value of requestHeaders) headers.push('Access-Control-Allow-Headers', value);
  headers.push(
    'Access-Control-Allow-Methods',
    'GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH',
    'Access-Control-Max-Age',
    '86400',
  );
  return headers;
}
