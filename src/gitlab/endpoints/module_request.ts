import { Readable } from 'node:stream';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { agentTokenHeaders } from '../agent_token_headers.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions, ModuleRequest } from '../client.ts';
import type { HttpResponse, StreamedResponse } from '../transport.ts';

const PREFIX = '/api/v4/internal/kubernetes/modules/';
/** What we say ourselves, or what belongs to the connection: an agent has no say in it. In lower case. */
const OURS = new Set([
  'authorization',
  'gitlab-agent-api-request',
  'gitlab-agentk-api-request',
  'gitlab-kas-api-request',
  'user-agent',
  'host',
  'content-length',
  'expect',
  'connection',
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Hands a module's request through to GitLab (docs/protocol/gitlab_access.md).
 * @throws AppError InvalidArgument if HTTP has no place for what it holds
 */
export function moduleRequest(
  api: ApiCaller,
  agentToken: string,
  request: ModuleRequest,
  options: CallOptions,
): Promise<StreamedResponse> {
  const { method, query, body } = request;
  const path = modulePath(request.module, request.path);
  if (!isToken(method) || method.toUpperCase() === 'CONNECT') return refuse(`invalid method ${JSON.stringify(method)}`);
  if (hasDotSegments(path)) return refuse('the path has . or .. in it');
  const headers: Record<string, string | readonly string[]> = {};
  for (const [name, values] of Object.entries(request.headers)) {
    if (!isToken(name)) return refuse(`invalid header field name ${JSON.stringify(name)}`);
    if (!OURS.has(name.toLowerCase()) && values.length > 0) headers[name] = values;
  }
  const retry = body === undefined || Buffer.isBuffer(body);
  const credentials = agentTokenHeaders(path, agentToken);
  const raw = { method, path, query, headers: { ...headers, ...credentials }, body, retry, raw: true };
  return api.call(raw, options).then(streamed);
}

function streamed(response: HttpResponse): StreamedResponse {
  const { body } = response;
  return { ...response, body: Buffer.isBuffer(body) ? Readable.from([body]) : body };
}

/** The module's name is escaped twice, as GitLab's routes are used to it. */
function modulePath(module: string, path: string): string {
  return `${PREFIX}${escapePath(escapeSegment(module))}${path.startsWith('/') ? '' : '/'}${escapePath(path)}`;
}

function escapeSegment(segment: string): string {
  return escapePath(segment).replace(/[/,;]/g, encodeURIComponent);
}

/** As Go escapes a path: what may stand in one stays. */
function escapePath(path: string): string {
  return encodeURIComponent(path)
    .replace(/%(24|26|2B|2C|2F|3A|3B|3D|40)/g, decodeURIComponent)
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** They would lead to other parts of GitLab's API, with our own credentials. */
function hasDotSegments(path: string): boolean {
  return path.split('/').some((segment) => segment === '.' || segment === '..');
}

function isToken(text: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);
}

function refuse(message: string): Promise<never> {
  return Promise.reject(new AppError(StatusCode.InvalidArgument, message));
}
