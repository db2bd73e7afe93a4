import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../../src/runtime/clock.ts';
import type { Kind } from './kinds.ts';
import type { KubernetesObject, Store } from './store.ts';
import { table } from './tables.ts';

interface Watch {
  readonly store: Store;
  readonly clock: Clock;
  readonly kind: Kind;
  readonly namespace: string;
  readonly matches: (object: KubernetesObject) => boolean;
  readonly query: URLSearchParams;
  readonly asTable: boolean;
}

/** Streams changes, one JSON document a line, until the client or `timeoutSeconds` ends it. */
export function watch(w: Watch, _request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache, private' });
  response.flushHeaders();
  const send = (type: string, object: KubernetesObject): void => {
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    const shown = w.asTable ? table(w.kind, [object], metadata, w.clock.wallMs()) : object;
    response.write(`${JSON.stringify({ type, object: shown })}\n`);
  };
  let from = Number(w.query.get('resourceVersion') ?? 0);
  if (from === 0) {
    for (const object of w.store.list(w.kind, w.namespace).filter(w.matches)) send('ADDED', object);
    from = w.store.revision;
  }
  const stop = w.store.watch(from, (event) => {
    const inNamespace = w.namespace === '' || event.object.metadata.namespace === w.namespace;
    if (event.kind === w.kind && inNamespace && w.matches(event.object)) send(event.type, event.object);
  });
  const seconds = Number(w.query.get('timeoutSeconds') ?? 0);
  const timer = seconds > 0 ? w.clock.startTimer(seconds * 1000, () => response.end()) : undefined;
  const end = (): void => {
    stop();
    timer?.stop();
  };
  response.on('close', end);
}
