import type { ServerResponse } from 'node:http';
import { groupVersion, KINDS, type Kind } from './kinds.ts';
import { sendJson } from './replies.ts';
import type { Json } from './store.ts';

const groups = [...new Set(KINDS.map((k) => k.group))].filter((g) => g !== '');

/** Answers what kubectl asks before it does anything. @returns false when `path` is something else */
export function serveDiscovery(path: string, response: ServerResponse): boolean {
  const answer = documents(path);
  if (answer === undefined) return false;
  sendJson(response, 200, answer);
  return true;
}

function documents(path: string): Json | undefined {
  if (path === '/version') {
    return {
      major: '1',
      minor: '32',
      gitVersion: 'v1.32.4',
      gitCommit: '',
      gitTreeState: 'clean',
      buildDate: '',
      goVersion: '',
      compiler: '',
      platform: 'linux/amd64',
    };
  }
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(group) };
  if (path === '/openapi/v3') {
    return {
      paths: {
        'api/v1': { serverRelativeURL: '/openapi/v3/api/v1?hash=1' },
        'apis/apps/v1': { serverRelativeURL: '/openapi/v3/apis/apps/v1?hash=1' },
      },
    };
  }
  const openapi = /^\/openapi\/v3\/(?:api\/v1|apis\/([^/]+)\/v1)$/.exec(path);
  if (openapi !== null) return openapiOf(openapi[1] ?? '');
  const versions = /^\/(?:api\/v1|apis\/([^/]+)\/v1)$/.exec(path);
  if (versions !== null) return resourceList(versions[1] ?? '');
  const one = /^\/apis\/([^/]+)$/.exec(path)?.[1];
  return one !== undefined && groups.includes(one) ? { kind: 'APIGroup', apiVersion: 'v1', ...group(one) } : undefined;
}

function group(name: string): Json {
  const version = { groupVersion: `${name}/v1`, version: 'v1' };
  return { name, versions: [version], preferredVersion: version };
}

function resourceList(groupName: string): Json | undefined {
  const kinds = KINDS.filter((k) => k.group === groupName);
  if (kinds.length === 0) return undefined;
  const resources = kinds.map((k) => ({
    name: k.plural,
    singularName: k.kind.toLowerCase(),
    namespaced: k.namespaced,
    kind: k.kind,
    verbs: k.verbs,
    shortNames: k.shortNames,
  }));
  const subresources =
    groupName === ''
      ? ['exec', 'log'].map((sub) => ({
          name: `pods/${sub}`,
          singularName: '',
          namespaced: true,
          kind: 'Pod',
          verbs: ['create', 'get'],
        }))
      : [];
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: groupVersion(kinds[0]!),
    resources: [...resources, ...subresources],
  };
}

/** Just enough for kubectl to see that the server validates fields, so that it does not want schemas. */
function openapiOf(groupName: string): Json {
  const paths = KINDS.filter((k) => k.group === groupName).map(
    (k) => [pathOf(k), { patch: patchOperation(k) }] as const,
  );
  return { openapi: '3.0.0', info: { title: 'kubernetes', version: 'v1' }, paths: Object.fromEntries(paths) };
}

function patchOperation(k: Kind): Json {
  return {
    parameters: [{ name: 'fieldValidation', in: 'query', schema: { type: 'string' } }],
    responses: { 200: { description: 'OK' } },
    'x-kubernetes-group-version-kind': { group: k.group, version: k.version, kind: k.kind },
  };
}

function pathOf(k: Kind): string {
  const root = k.group === '' ? '/api/v1' : `/apis/${k.group}/v1`;
  return `${root}${k.namespaced ? '/namespaces/{namespace}' : ''}/${k.plural}/{name}`;
}
