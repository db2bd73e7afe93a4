/** One kind of object that the fake cluster keeps. */
export interface Kind {
  /** '' is the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly verbs: readonly string[];
}

const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

function kind(group: string, plural: string, name: string, more: Partial<Kind> = {}): Kind {
  return { group, version: 'v1', plural, kind: name, namespaced: true, shortNames: [], verbs: VERBS, ...more };
}

export const KINDS: readonly Kind[] = [
  kind('', 'namespaces', 'Namespace', { namespaced: false, shortNames: ['ns'] }),
  kind('', 'pods', 'Pod', { shortNames: ['po'] }),
  kind('', 'configmaps', 'ConfigMap', { shortNames: ['cm'] }),
  kind('', 'secrets', 'Secret'),
  kind('', 'services', 'Service', { shortNames: ['svc'] }),
  kind('', 'serviceaccounts', 'ServiceAccount', { shortNames: ['sa'] }),
  kind('', 'events', 'Event', { shortNames: ['ev'] }),
  kind('apps', 'deployments', 'Deployment', { shortNames: ['deploy'] }),
  kind('authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview', { namespaced: false, verbs: ['create'] }),
];

/** `v1`, `apps/v1` */
export function groupVersion(kind: Kind): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

export function findKind(group: string, plural: string): Kind | undefined {
  return KINDS.find((k) => k.group === group && k.plural === plural);
}
