import type { Kind } from './kinds.ts';
import type { Json, KubernetesObject } from './store.ts';

/** What `kubectl get` prints: the API server decides about columns. Priority 1 only with `-o wide`. */
interface Column {
  readonly name: string;
  readonly priority?: 0 | 1;
  cell(object: KubernetesObject, nowMs: number): string | number;
}

const name: Column = { name: 'Name', cell: (o) => o.metadata.name };
const age: Column = { name: 'Age', cell: (o, now) => ageText(now - Date.parse(String(o.metadata.creationTimestamp))) };

const columns: Record<string, readonly Column[]> = {
  Pod: [
    name,
    {
      name: 'Ready',
      cell: (o) => `${containerStatuses(o).filter((c) => c.ready === true).length}/${containerStatuses(o).length}`,
    },
    { name: 'Status', cell: (o) => String(part(o, 'status').phase ?? 'Unknown') },
    { name: 'Restarts', cell: (o) => containerStatuses(o).reduce((sum, c) => sum + Number(c.restartCount ?? 0), 0) },
    age,
    { name: 'IP', priority: 1, cell: (o) => String(part(o, 'status').podIP ?? '<none>') },
    { name: 'Node', priority: 1, cell: (o) => String(part(o, 'spec').nodeName ?? '<none>') },
  ],
  ConfigMap: [name, { name: 'Data', cell: (o) => Object.keys(part(o, 'data')).length }, age],
  Namespace: [name, { name: 'Status', cell: (o) => String(part(o, 'status').phase ?? 'Active') }, age],
  Deployment: [
    name,
    { name: 'Ready', cell: (o) => `${part(o, 'status').readyReplicas ?? 0}/${part(o, 'spec').replicas ?? 1}` },
    { name: 'Up-to-date', cell: (o) => Number(part(o, 'status').updatedReplicas ?? 0) },
    { name: 'Available', cell: (o) => Number(part(o, 'status').availableReplicas ?? 0) },
    age,
  ],
};

/** A meta.k8s.io/v1 Table. */
export function table(kind: Kind, objects: readonly KubernetesObject[], metadata: Json, nowMs: number): Json {
  const cols = columns[kind.kind] ?? [name, age];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: cols.map((c) => ({
      name: c.name,
      type: 'string',
      format: '',
      description: '',
      priority: c.priority ?? 0,
    })),
    rows: objects.map((object) => ({
      cells: cols.map((c) => c.cell(object, nowMs)),
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  };
}

function part(object: Json, field: string): Json {
  return (object[field] as Json | undefined) ?? {};
}

function containerStatuses(pod: Json): Json[] {
  return (part(pod, 'status').containerStatuses as Json[] | undefined) ?? [];
}

function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
