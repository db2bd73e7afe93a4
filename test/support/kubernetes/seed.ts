import { findKind, type Kind } from './kinds.ts';
import type { KubernetesObject, Store } from './store.ts';

const STARTED = '2026-01-01T00:00:00Z';

/** Two namespaces, two pods, a configmap and a deployment, so that there is something to look at. */
export function seed(store: Store): void {
  const put = (group: string, plural: string, namespace: string, object: KubernetesObject): void => {
    store.put(findKind(group, plural) as Kind, namespace, object);
  };
  for (const name of ['default', 'kube-system'])
    put('', 'namespaces', '', { metadata: { name }, status: { phase: 'Active' } });
  for (const name of ['db', 'web']) put('', 'pods', 'default', pod(name));
  put('', 'configmaps', 'default', { metadata: { name: 'hello' }, data: { greeting: 'hello from the cluster' } });
  put('apps', 'deployments', 'default', {
    metadata: { name: 'web', labels: { app: 'web' } },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'main', image: 'local/sh' }] } },
    },
    status: { replicas: 1, readyReplicas: 1, updatedReplicas: 1, availableReplicas: 1 },
  });
}

/** A running pod with one container, `main`. */
export function pod(name: string): KubernetesObject {
  return {
    metadata: { name, labels: { app: name } },
    spec: { nodeName: 'node-1', containers: [{ name: 'main', image: 'local/sh' }] },
    status: {
      phase: 'Running',
      podIP: '127.0.0.1',
      startTime: STARTED,
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [
        {
          name: 'main',
          ready: true,
          image: 'local/sh',
          imageID: '',
          restartCount: 0,
          state: { running: { startedAt: STARTED } },
        },
      ],
    },
  };
}
