import { groupVersion, type Kind } from './kinds.ts';

/** A Kubernetes object, or a part of one. */
export type Json = { [name: string]: unknown };

export interface KubernetesObject extends Json {
  metadata: Json & { name: string; namespace?: string; labels?: Record<string, string>; resourceVersion?: string };
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubernetesObject;
  readonly kind: Kind;
  readonly revision: number;
}

/** The cluster's objects, each change of them, and who wants to hear of changes. */
export class Store {
  readonly #objects = new Map<string, KubernetesObject>();
  readonly #log: WatchEvent[] = [];
  readonly #watchers = new Set<(event: WatchEvent) => void>();
  readonly #now: () => number;
  #revision = 1;

  /** @param now milliseconds since the Unix epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  get revision(): number {
    return this.#revision;
  }

  get(kind: Kind, namespace: string, name: string): KubernetesObject | undefined {
    return this.#objects.get(key(kind, namespace, name));
  }

  /** In the order of their names. @param namespace '' for all */
  list(kind: Kind, namespace: string): KubernetesObject[] {
    const prefix = `${kind.group}/${kind.plural}/`;
    const items = [...this.#objects].filter(([k]) => k.startsWith(prefix)).map(([, object]) => object);
    return items
      .filter((object) => namespace === '' || object.metadata.namespace === namespace)
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  /** Creates or replaces; whoever watches hears of it. Returns what is stored now. */
  put(kind: Kind, namespace: string, object: KubernetesObject): KubernetesObject {
    const { name } = object.metadata;
    const old = this.get(kind, namespace, name);
    this.#revision++;
    const metadata = {
      ...object.metadata,
      ...(kind.namespaced ? { namespace } : {}),
      uid: old?.metadata.uid ?? `00000000-0000-4000-8000-${String(this.#revision).padStart(12, '0')}`,
      creationTimestamp: old?.metadata.creationTimestamp ?? new Date(this.#now()).toISOString().replace(/\.\d+/, ''),
      resourceVersion: String(this.#revision),
    };
    const stored = { ...object, kind: kind.kind, apiVersion: groupVersion(kind), metadata };
    this.#objects.set(key(kind, namespace, name), stored);
    this.#tell({ type: old === undefined ? 'ADDED' : 'MODIFIED', object: stored, kind, revision: this.#revision });
    return stored;
  }

  remove(kind: Kind, namespace: string, name: string): KubernetesObject | undefined {
    const old = this.get(kind, namespace, name);
    if (old === undefined) return undefined;
    this.#objects.delete(key(kind, namespace, name));
    this.#revision++;
    const object = { ...old, metadata: { ...old.metadata, resourceVersion: String(this.#revision) } };
    this.#tell({ type: 'DELETED', object, kind, revision: this.#revision });
    return object;
  }

  /** Calls `f` for each change after `revision`, past ones at once. Returns how to stop it. */
  watch(revision: number, f: (event: WatchEvent) => void): () => void {
    for (const event of this.#log) if (event.revision > revision) f(event);
    this.#watchers.add(f);
    return () => this.#watchers.delete(f);
  }

  #tell(event: WatchEvent): void {
    this.#log.push(event);
    for (const f of this.#watchers) f(event);
  }
}

function key(kind: Kind, namespace: string, name: string): string {
  return `${kind.group}/${kind.plural}/${kind.namespaced ? namespace : ''}/${name}`;
}
