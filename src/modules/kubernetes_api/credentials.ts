import { cookieValues } from './cookies.ts';
import type { IncomingHead } from './incoming_head.ts';
import { percentDecoded } from './request_target.ts';
import { textFromBytesLossy } from './text.ts';
import { findValues, type ValueLists } from './value_lists.ts';

/** What a request shows to say who is asking (docs/protocol/kubernetes_api.md, "Credentials"). */
export type Credentials =
  | { readonly kind: 'ci_job'; readonly agentId: bigint; readonly token: string }
  | { readonly kind: 'personal_access_token'; readonly agentId: bigint; readonly token: string }
  | {
      readonly kind: 'session_cookie';
      readonly agentId: bigint;
      /** Form-decoded; more than one when the browser holds cookies of several paths or domains. */
      readonly cookies: readonly string[];
      readonly csrfToken: string;
    };

/** Why a request's credentials cannot even be read. */
export interface BadCredentials {
  readonly kind: 'bad';
  /** For the asker: it may repeat what was sent. */
  readonly error: string;
  /** For the log: it does not. */
  readonly logError: string;
}

const COOKIE = '_gitlab_kas';
const BEARER = 'Bearer ';
/** Each candidate may cost a call to GitLab. A browser has one for each path and domain, which is two or three. */
const MAX_COOKIES = 5;

/** Reads the credentials of a request: `Authorization` if there is one, else the cookie with its companions. */
export function parseCredentials(head: IncomingHead, query: ValueLists): Credentials | BadCredentials {
  if (head.authorization.length > 0) return parseAuthorization(head.authorization);
  return head.cookies.length > 0 ? parseSession(head, query) : bad('no valid credentials provided');
}

function parseAuthorization(values: readonly string[]): Credentials | BadCredentials {
  if (values.length > 1) return bad(`Authorization header: expecting a single header, got ${values.length}`);
  const value = values[0]!;
  if (!value.startsWith(BEARER)) return bad('Authorization header: expecting Bearer token');
  const first = value.indexOf(':', BEARER.length);
  if (first === -1) return bad('Authorization header: invalid value');
  const type = value.slice(BEARER.length, first);
  if (type !== 'ci' && type !== 'pat') return bad('Authorization header: unknown token type');
  const second = value.indexOf(':', first + 1);
  if (second === -1) return bad('Authorization header: invalid value');
  const id = value.slice(first + 1, second);
  const agentId = parseInt64(id);
  if (typeof agentId === 'string') {
    const what = 'Authorization header: failed to parse: strconv.ParseInt: parsing ';
    return bad(`${what}${quote(id)}: ${agentId}`, `${what}the agent id: ${agentId}`);
  }
  const token = textFromBytesLossy(value.slice(second + 1));
  if (token === '') return bad('Authorization header: empty token');
  return { kind: type === 'ci' ? 'ci_job' : 'personal_access_token', agentId, token };
}

function parseSession(head: IncomingHead, query: ValueLists): Credentials | BadCredentials {
  const cookies = sessionCookies(head.cookies);
  if (!Array.isArray(cookies)) return cookies;
  const id = oneOf(
    head.agentIds,
    findValues(query, 'gitlab-agent-id'),
    'Gitlab-Agent-Id',
    'gitlab-agent-id',
    'agent id',
  );
  if (typeof id !== 'string') return id;
  const agentId = parseInt64(id);
  if (typeof agentId === 'string') {
    return bad(`agent id in request: invalid value: ${quote(id)}`, 'agent id in request: invalid value');
  }
  const csrfToken = oneOf(
    head.csrfTokens,
    findValues(query, 'gitlab-csrf-token'),
    'X-Csrf-Token',
    'gitlab-csrf-token',
    'CSRF token',
  );
  if (typeof csrfToken !== 'string') return csrfToken;
  return { kind: 'session_cookie', agentId, cookies, csrfToken: textFromBytesLossy(csrfToken) };
}

/** The decoded values of all our cookies; the first problem counts only if none of them is of use. */
function sessionCookies(lines: readonly string[]): string[] | BadCredentials {
  const usable = new Set<string>();
  let problem: BadCredentials | undefined;
  for (const value of cookieValues(lines, COOKIE)) {
    if (value === '') {
      problem ??= bad(`${COOKIE} cookie value must not be empty`);
      continue;
    }
    const decoded = percentDecoded(value, true);
    if (decoded === undefined) problem ??= bad(`${COOKIE} invalid cookie value`);
    else if (usable.size < MAX_COOKIES) usable.add(textFromBytesLossy(decoded));
  }
  if (usable.size > 0) return [...usable];
  return problem ?? bad('no valid credentials provided');
}

/** The header if there is one, else the query parameter; neither may be there twice. */
function oneOf(
  headers: readonly string[],
  parameters: readonly string[] | undefined,
  header: string,
  parameter: string,
  what: string,
): string | BadCredentials {
  if (headers.length === 1) return headers[0]!;
  if (headers.length > 1) return bad(`${header} header must have exactly one value`);
  if (parameters?.length === 1) return parameters[0]!;
  return bad(`exactly one ${what} must be provided either in the "${header}" header or "${parameter}" query parameter`);
}

function bad(error: string, logError = error): BadCredentials {
  return { kind: 'bad', error, logError };
}

const MAX_INT64 = 0x7fffffffffffffffn;

/** Go's strconv.ParseInt(s, 10, 64): the number, or what is wrong in Go's words. */
function parseInt64(text: string): bigint | 'invalid syntax' | 'value out of range' {
  const signed = text.startsWith('+') || text.startsWith('-');
  const digits = signed ? text.slice(1) : text;
  if (digits === '') return 'invalid syntax';
  for (let i = 0; i < digits.length; i++) {
    const c = digits.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return 'invalid syntax';
  }
  // No need to build a number out of a megabyte of digits.
  if (digits.length > 100) return 'value out of range';
  const magnitude = BigInt(digits);
  if (text.startsWith('-')) return magnitude > MAX_INT64 + 1n ? 'value out of range' : -magnitude;
  return magnitude > MAX_INT64 ? 'value out of range' : magnitude;
}

/** Go's %q, as far as header values need it. */
function quote(bytes: string): string {
  return JSON.stringify(textFromBytesLossy(bytes));
}
