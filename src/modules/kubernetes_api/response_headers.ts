import {
  addConnectionTokens,
  canonicalHeaderName,
  HeaderNameTable,
  HOP_BY_HOP_HEADERS,
  isToken,
} from '../../http_over_grpc/header_name.ts';
import type { Log } from '../../observability/log.ts';
import { addCorsHeaders } from './cors.ts';
import { bytesFromText } from './text.ts';

/** What the answer to a request must look like, whatever the cluster says. */
export interface ResponseRules {
  readonly allowedOrigin: string | undefined;
  /** A browser's session stands behind the request: nothing that a browser renders may come back. */
  readonly viaCookie: boolean;
}

export interface ResponseHeaders {
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: string[];
  /** What `Content-Length` among them promises; undefined if there is none. A body must not get longer than that. */
  readonly contentLength: number | undefined;
}

type HeaderMap = Iterable<readonly [name: string, values: readonly string[]]>;

/**
 * What passes from a cluster to a client without being asked for in the configuration: headers that Kubernetes API servers
 * send, and those HTTP itself needs. Newer upstream servers have such a list, too, but do not publish it.
 */
const ALLOWED = [
  'Accept-Ranges',
  'Age',
  'Allow',
  'Audit-Id',
  'Cache-Control',
  'Content-Disposition',
  'Content-Encoding',
  'Content-Language',
  'Content-Length',
  'Content-Range',
  'Content-Type',
  'Date',
  'Etag',
  'Expires',
  'Last-Modified',
  'Location',
  'Pragma',
  'Retry-After',
  'Sec-Websocket-Accept',
  'Sec-Websocket-Extensions',
  'Sec-Websocket-Protocol',
  'Sec-Websocket-Version',
  'Vary',
  'Via',
  'Warning',
  'Www-Authenticate',
  'X-Accepted-Stream-Protocol-Versions',
  'X-Kubernetes-Pf-Flowschema-Uid',
  'X-Kubernetes-Pf-Prioritylevel-Uid',
  'X-Stream-Protocol-Version',
];

/**
 * What never passes, even if the configuration asks for it: these speak for this server's origin, or to the proxies in
 * front of it (nginx obeys `X-Accel-*`), and a cluster is neither.
 */
const NEVER = [
  'Gitlab-Unauthorized',
  'Nel',
  'Report-To',
  'Reporting-Endpoints',
  'Set-Cookie',
  'Set-Cookie2',
  'X-Sendfile',
];
const NEVER_PREFIXES = ['Access-Control-', 'X-Accel-'];

/** Dropped without a word: this server sets them itself. */
const CORS = [
  'Access-Control-Allow-Origin',
  'Access-Control-Allow-Headers',
  'Access-Control-Allow-Credentials',
  'Access-Control-Allow-Methods',
  'Access-Control-Max-Age',
];

/** What browsers show as text at most. */
const INERT_TYPES = new Set([
  'application/json',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
  'text/plain',
]);
const PLAIN_TEXT = 'text/plain; charset=utf-8';

const Action = {
  Pass: 0,
  Drop: 1,
  Block: 2,
  Connection: 3,
  Upgrade: 4,
  ContentType: 5,
  ContentLength: 6,
  NoSniff: 7,
} as const;
type Action = (typeof Action)[keyof typeof Action];

/** Turns the header of a cluster's response into what the client gets (docs/protocol/kubernetes_api.md, "Response headers"). */
export class ResponseHeaderFilter {
  readonly #via: string;
  readonly #log: Log;
  readonly #actions: HeaderNameTable<Action>;
  readonly #reported = new Set<string>();

  constructor(options: { via: string; extraAllowed: readonly string[]; log: Log }) {
    this.#via = options.via;
    this.#log = options.log;
    const actions = new Map<string, Action>();
    for (const name of [...ALLOWED, ...options.extraAllowed.map(canonicalHeaderName)]) actions.set(name, Action.Pass);
    for (const name of NEVER) actions.set(name, Action.Block);
    for (const name of actions.keys()) {
      if (NEVER_PREFIXES.some((prefix) => name.startsWith(prefix))) actions.set(name, Action.Block);
    }
    for (const name of [...CORS, ...HOP_BY_HOP_HEADERS]) actions.set(name, Action.Drop);
    actions.set('Connection', Action.Connection);
    actions.set('Upgrade', Action.Upgrade);
    actions.set('Content-Type', Action.ContentType);
    actions.set('Content-Length', Action.ContentLength);
    actions.set('X-Content-Type-Options', Action.NoSniff);
    this.#actions = new HeaderNameTable((name) => {
      if (!isToken(name)) return Action.Drop;
      return actions.get(canonicalHeaderName(name)) ?? Action.Block;
    });
  }

  /** @param header as received: values are text, names in any case, a name perhaps in several */
  apply(status: number, header: HeaderMap, rules: ResponseRules): ResponseHeaders {
    const headers: string[] = [];
    addCorsHeaders(headers, rules.allowedOrigin);
    let named: Set<string> | undefined;
    let contentTypes = 0;
    let contentLength: number | undefined;
    let hasBadLength = false;
    let hasNoSniff = false;
    for (const [name, values] of header) {
      switch (this.#actions.get(name)) {
        case Action.Pass:
          for (const value of values) headers.push(name, wireValue(value));
          break;
        case Action.Block:
          this.#report(name);
          break;
        case Action.Connection:
          for (const value of values) named = addConnectionTokens(value, named);
          break;
        case Action.Upgrade:
          // Where the protocol does not change there is nobody left to whom this could mean something.
          if (status !== 101 && status !== 426) break;
          headers.push('Connection', 'upgrade');
          for (const value of values) headers.push(name, wireValue(value));
          break;
        case Action.ContentType:
          for (const value of values) {
            contentTypes++;
            if (!rules.viaCookie) headers.push(name, wireValue(value));
            else if (contentTypes === 1) headers.push(name, isInert(value) ? value : PLAIN_TEXT);
          }
          break;
        case Action.ContentLength:
          for (const value of values) {
            const length = parseLength(value);
            if (length === undefined || (contentLength !== undefined && length !== contentLength)) hasBadLength = true;
            else contentLength = length;
          }
          break;
        case Action.NoSniff:
          hasNoSniff = true;
          break;
        default:
          break;
      }
    }
    if (named !== undefined) return this.apply(status, withoutNamed(header, named), rules);
    // Two lengths, or one that is no number: the body says itself where it ends.
    if (hasBadLength) contentLength = undefined;
    if (contentLength !== undefined) headers.push('Content-Length', String(contentLength));
    if (rules.viaCookie && contentTypes === 0 && mayHaveBody(status)) headers.push('Content-Type', PLAIN_TEXT);
    // Two types are joined by browsers, the last one wins: only one has been let through, and it must be the harmless one.
    if (rules.viaCookie && contentTypes > 1) setPlainText(headers);
    if (rules.viaCookie || hasNoSniff) headers.push('X-Content-Type-Options', 'nosniff');
    headers.push('Via', this.#via);
    return { headers, contentLength };
  }

  #report(name: string): void {
    const canonical = canonicalHeaderName(name);
    // Names come from clusters: enough is enough.
    if (this.#reported.has(canonical) || this.#reported.size >= 1000) return;
    this.#reported.add(canonical);
    this.#log.info('Blocked Kubernetes API proxy response header', {
      header: canonical,
      hint: 'agent.kubernetes_api.extra_allowed_response_headers lets a header pass',
    });
  }
}

/** A header value as Node wants it: one character a byte, and no control characters, which would end the line or the process. */
function wireValue(value: string): string {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if ((c < 0x20 && c !== 0x09) || c > 0x7e) return bytesFromText(withoutControls(value));
  }
  return value;
}

function withoutControls(value: string): string {
  let clean = '';
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    clean += (c < 0x20 && c !== 0x09) || c === 0x7f ? ' ' : value[i];
  }
  return clean;
}

/** A comma would begin another media type, which browsers prefer; anything but visible ASCII has no place here either. */
function isInert(contentType: string): boolean {
  for (let i = 0; i < contentType.length; i++) {
    const c = contentType.charCodeAt(i);
    if (c === 0x2c || c < 0x20 || c > 0x7e) return false;
  }
  const semicolon = contentType.indexOf(';');
  const type = semicolon === -1 ? contentType : contentType.slice(0, semicolon);
  return INERT_TYPES.has(type) || INERT_TYPES.has(type.trim().toLowerCase());
}

function setPlainText(headers: string[]): void {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]!.toLowerCase() === 'content-type') headers[i + 1] = PLAIN_TEXT;
  }
}

function parseLength(value: string): number | undefined {
  if (value === '' || value.length > 15) return undefined;
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return undefined;
  }
  return Number(value);
}

function mayHaveBody(status: number): boolean {
  return status >= 200 && status !== 204 && status !== 304;
}

function withoutNamed(header: HeaderMap, named: ReadonlySet<string>): [string, readonly string[]][] {
  const left: [string, readonly string[]][] = [];
  for (const [name, values] of header) {
    const lower = name.toLowerCase();
    if (lower !== 'connection' && !named.has(lower)) left.push([name, values]);
  }
  return left;
}
