import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse } from 'yaml';
import { errorText } from '../../../src/runtime/app_error.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { findKind, groupVersion, type Kind } from './kinds.ts';
import { applyPatch } from './patch.ts';
import { readBody, sendJson, sendStatus } from './replies.ts';
import { selector } from './selectors.ts';
import type { Json, KubernetesObject, Store } from './store.ts';
import { table } from './tables.ts';
import { watch } from './watch.ts';

/** What a path under /api or /apis points to. */
export interface ResourcePath {
  readonly kind: Kind;
  /** '' for all namespaces. */
  readonly namespace: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

export function parseResourcePath(path: string): ResourcePath | undefined {
  const match = /^\/(?:api\/v1|apis\/([^/]+)\/v1)\/(.+)$/.exec(path);
  if (match === null) return undefined;
  const group = match[1] ?? '';
  let parts = match[2]!.replace(/\/$/, '').split('/');
  let namespace = '';
  if (parts[0] === 'namespaces' && parts.length >= 3) {
    namespace = parts[1]!;
    parts = parts.slice(2);
  }
  const kind = findKind(group, parts[0]!);
  return kind && { kind, namespace, name: parts[1], subresource: parts[2] };
}

export interface ObjectsDeps {
  readonly store: Store;
  readonly clock: Clock;
}

/** Serves list, watch, get, create, update, patch and delete of one kind. */
export async function serveObjects(
  deps: ObjectsDeps,
  at: ResourcePath,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const query = new URL(request.url!, 'http://kube').searchParams;
  if (at.kind.kind === 'SelfSubjectReview') {
    sendJson(response, 201, {
      kind: at.kind.kind,
      apiVersion: groupVersion(at.kind),
      metadata: {},
      status: { userInfo: userInfo(request) },
    });
  } else if (at.name === undefined) await serveCollection(deps, at, query, request, response);
  else await serveObject(deps, at, at.name, request, response);
}

async function serveCollection(
  { store, clock }: ObjectsDeps,
  at: ResourcePath,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { kind, namespace } = at;
  if (request.method === 'POST') {
    const object = await readObject(request, response);
    if (object === undefined) return;
    const name = object.metadata.name ?? `${String(object.metadata.generateName)}${store.revision}`;
    if (store.get(kind, namespace, name) !== undefined)
      sendStatus(response, 409, 'AlreadyExists', `${kind.plural} "${name}" already exists`);
    else sendJson(response, 201, store.put(kind, namespace, { ...object, metadata: { ...object.metadata, name } }));
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    sendStatus(response, 405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
    return;
  }
  const matches = selector(query);
  if (query.get('watch') === 'true' || query.get('watch') === '1') {
    watch({ store, clock, kind, namespace, matches, query, asTable: wantsTable(request) }, request, response);
    return;
  }
  const items = store.list(kind, namespace).filter(matches);
  const metadata = { resourceVersion: String(store.revision) };
  if (wantsTable(request)) sendJson(response, 200, table(kind, items, metadata, clock.wallMs()));
  else sendJson(response, 200, { kind: `${kind.kind}List`, apiVersion: groupVersion(kind), metadata, items });
}

async function serveObject(
  { store, clock }: ObjectsDeps,
  at: ResourcePath,
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { kind, namespace } = at;
  const old = store.get(kind, namespace, name);
  const mediaType = request.headers['content-type'] ?? '';
  if (old === undefined && !(request.method === 'PATCH' && mediaType === 'application/apply-patch+yaml')) {
    sendStatus(
      response,
      404,
      'NotFound',
      `${kind.plural}${kind.group === '' ? '' : `.${kind.group}`} "${name}" not found`,
    );
    return;
  }
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      if (wantsTable(request))
        sendJson(response, 200, table(kind, [old!], { resourceVersion: String(store.revision) }, clock.wallMs()));
      else sendJson(response, 200, old!);
      return;
    case 'PUT': {
      const object = await readObject(request, response);
      if (object !== undefined) sendJson(response, 200, store.put(kind, namespace, object));
      return;
    }
    case 'PATCH':
      await servePatch(store, at, name, mediaType, old ?? { metadata: { name } }, request, response);
      return;
    case 'DELETE':
      await readBody(request);
      sendJson(response, 200, store.remove(kind, namespace, name)!);
      return;
    default:
      sendStatus(response, 405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
  }
}

async function servePatch(
  store: Store,
  at: ResourcePath,
  name: string,
  mediaType: string,
  old: KubernetesObject,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = (await readBody(request)).toString('utf8');
  try {
    const patched = applyPatch(mediaType, body, old);
    if (patched === undefined)
      sendStatus(
        response,
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format: ${mediaType}`,
      );
    else
      sendJson(
        response,
        store.get(at.kind, at.namespace, name) ? 200 : 201,
        store.put(at.kind, at.namespace, patched as KubernetesObject),
      );
  } catch (error) {
    sendStatus(response, 400, 'BadRequest', errorText(error));
  }
}

async function readObject(request: IncomingMessage, response: ServerResponse): Promise<KubernetesObject | undefined> {
  const body = (await readBody(request)).toString('utf8');
  if (request.headers['content-type'] === 'application/vnd.kubernetes.protobuf') {
    sendStatus(
      response,
      415,
      'UnsupportedMediaType',
      'the body of the request was in an unknown format - accepted media types include: application/json, application/yaml',
    );
    return undefined;
  }
  try {
    const object = parse(body) as KubernetesObject | null;
    if (typeof object?.metadata === 'object') return object;
  } catch {
    // answered below
  }
  sendStatus(response, 400, 'BadRequest', 'the object provided is unrecognized');
  return undefined;
}

function wantsTable(request: IncomingMessage): boolean {
  return (request.headers.accept ?? '').includes('as=Table;v=v1;g=meta.k8s.io');
}

/** What the API server makes of the impersonation headers. */
function userInfo(request: IncomingMessage): Json {
  const get = (name: string) => request.headersDistinct[name] ?? [];
  const username = get('impersonate-user')[0];
  if (username === undefined)
    return { username: 'system:serviceaccount:gitlab-agent:agent', groups: ['system:authenticated'] };
  const prefix = 'impersonate-extra-';
  const extra = Object.keys(request.headersDistinct).filter((name) => name.startsWith(prefix));
  return {
    username,
    groups: [...get('impersonate-group'), 'system:authenticated'],
    ...(get('impersonate-uid').length > 0 ? { uid: get('impersonate-uid')[0] } : {}),
    extra: Object.fromEntries(extra.map((name) => [decodeURIComponent(name.slice(prefix.length)), get(name)])),
  };
}
