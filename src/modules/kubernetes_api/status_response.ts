import { addCorsHeaders } from './cors.ts';
import { negotiate, STATUS_MEDIA_TYPES, type StatusMediaType } from './media_type.ts';
import { yaml } from './status_yaml.ts';

/** A complete answer that this server gives itself. */
export interface Answer {
  readonly kind: 'answer';
  readonly status: number;
  /** Names and values in turn, as `writeHead` takes them; `Content-Length` is among them. */
  readonly headers: string[];
  /** To be left out when the method is HEAD. */
  readonly body: Buffer;
}

/** What the form of an error answer depends on. */
export interface Asker {
  readonly accept: string | undefined;
  readonly userAgent: string | undefined;
  /** The query parameter `pretty`. */
  readonly pretty: string | undefined;
  readonly allowedOrigin: string | undefined;
  /** It came with an `Authorization` header: no browser, which might take an answer for a page, sends one by itself. */
  readonly authorizes: boolean;
  /** For whoever helps the asker; undefined without tracing. */
  readonly traceId?: string | undefined;
}

export interface Failure {
  readonly status: number;
  /** Without `GitLab Agent Server: `. Shown to the asker: no secrets, nothing that the asker may not know. */
  readonly message: string;
}

/** The reasons of Kubernetes' own errors; 502 and others have none. */
const reasons = new Map([
  [400, 'BadRequest'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'NotFound'],
  [405, 'MethodNotAllowed'],
  [406, 'NotAcceptable'],
  [409, 'Conflict'],
  [410, 'Gone'],
  [413, 'RequestEntityTooLarge'],
  [415, 'UnsupportedMediaType'],
  [422, 'Invalid'],
  [429, 'TooManyRequests'],
  [500, 'InternalError'],
  [503, 'ServiceUnavailable'],
  [504, 'Timeout'],
]);

/** Of whoever is refused because there is too much to do. */
const RETRY_AFTER_SECONDS = '1';

export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Record<string, never>;
  readonly status: 'Failure';
  readonly message: string;
  readonly reason?: string;
  readonly code: number;
}

/**
 * An error as Kubernetes clients expect it: a v1 Status in the media type they ask for, which is what kubectl prints
 * (docs/protocol/kubernetes_api.md, "Errors"). A 401 carries `Gitlab-Unauthorized`, or it would look like the cluster's.
 * @param server what stands in `Server`
 */
export function statusResponse(failure: Failure, asker: Asker, server: string): Answer {
  const { status: code } = failure;
  const headers: string[] = [];
  addCorsHeaders(headers, asker.allowedOrigin);
  if (code === 401) headers.push('Gitlab-Unauthorized', 'true');
  // Kubernetes clients wait so long and try again, of their own accord.
  if (code === 429 || code === 503) headers.push('Retry-After', RETRY_AFTER_SECONDS);
  headers.push('Server', server);
  const chosen = negotiate(asker.accept);
  if (chosen === undefined || !asker.authorizes) headers.push('X-Content-Type-Options', 'nosniff');
  const trace = asker.traceId === undefined ? '' : `. Trace ID: ${asker.traceId}`;
  if (chosen === undefined) {
    const types = STATUS_MEDIA_TYPES.join(', ');
    const text = `Failed to negotiate output media type: only the following media types are accepted: ${types}`;
    return answer(406, headers, 'text/plain; charset=utf-8', Buffer.from(`GitLab Agent Server: ${text}${trace}\n`));
  }
  const reason = reasons.get(code);
  const status: Status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `GitLab Agent Server: ${failure.message}${trace}`,
    ...(reason === undefined ? {} : { reason }),
    code,
  };
  return answer(code, headers, chosen.type, encode(status, chosen.type, chosen.pretty || wantsPretty(asker)));
}

/** An answer with a body of a known type; adds `Content-Type` and `Content-Length` to the headers given. */
export function answer(status: number, headers: string[], contentType: string, body: Buffer): Answer {
  headers.push('Content-Type', contentType, 'Content-Length', String(body.length));
  return { kind: 'answer', status, headers, body };
}

/** An answer without a body. */
export function emptyAnswer(status: number, headers: string[]): Answer {
  headers.push('Content-Length', '0');
  return { kind: 'answer', status, headers, body: Buffer.alloc(0) };
}

/** People read what curl, wget and browsers show, unless the query says otherwise. */
function wantsPretty({ pretty, userAgent }: Asker): boolean {
  if (pretty) return ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(pretty);
  if (userAgent === undefined) return false;
  return ['curl', 'Wget', 'Mozilla/5.0'].some((name) => userAgent.startsWith(name));
}

function encode(status: Status, type: StatusMediaType, pretty: boolean): Buffer {
  switch (type) {
    case 'application/json':
      return Buffer.from(pretty ? json(status, 2) : `${json(status, 0)}\n`);
    case 'application/yaml':
      return Buffer.from(yaml(status));
    case 'application/vnd.kubernetes.protobuf':
      return encodeProtobuf(status);
  }
}

/** JSON as Go writes it: three characters that mean something in HTML are escaped, and two that end lines in JavaScript. */
function json(value: Status, indent: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Kubernetes' protobuf: four magic bytes and a runtime.Unknown around the Status. Empty strings are written, which no generated
 * code does, hence by hand.
 */
function encodeProtobuf(status: Status): Buffer {
  const metadata = Buffer.concat([field(1, ''), field(2, ''), field(3, '')]);
  const raw = Buffer.concat([
    field(1, metadata),
    field(2, status.status),
    field(3, status.message),
    field(4, status.reason ?? ''),
    Buffer.from([6 << 3, ...varint(status.code)]),
  ]);
  const typeMeta = Buffer.concat([field(1, status.apiVersion), field(2, status.kind)]);
  return Buffer.concat([Buffer.from('k8s\0'), field(1, typeMeta), field(2, raw), field(3, ''), field(4, '')]);
}

function field(number: number, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
