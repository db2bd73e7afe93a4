import type { Config } from '../config/config.ts';
import type { Log } from '../observability/log.ts';
import { aborted } from '../runtime/aborted.ts';
import { systemClock } from '../runtime/clock.ts';
import { collectAfterCrowds } from '../runtime/quiet_heap.ts';
import { Scope } from '../runtime/scope.ts';
import { youngGeneration } from '../runtime/young_generation.ts';
import { createCore } from './core.ts';
import { drain } from './drain.ts';
import { openErrorTracker } from './error_tracker.ts';
import { type Fronts, openFronts } from './fronts.ts';
import { Readiness } from './readiness.ts';
import type { WorkerPlace } from './workers/worker_place.ts';

/**
 * Runs the server until `signal` is aborted and everything has drained.
 * @throws AppError if it cannot start; whatever was opened by then is closed
 */
export async function runServer(options: {
  readonly config: Config;
  readonly log: Log;
  /** Of the same lines, those of gRPC connections. */
  readonly grpcLog: Log;
  /** How many lines have got lost so far. */
  readonly droppedLogLines: () => number;
  readonly signal: AbortSignal;
  /** Set in a worker: it shares with others what a server alone has to itself. */
  readonly worker?: WorkerPlace | undefined;
}): Promise<void> {
  const { config, grpcLog, droppedLogLines, signal, worker } = options;
  const tracker = await openErrorTracker({ config: config.observability.sentry, clock: systemClock, log: options.log });
  const { log } = tracker;
  const scope = new Scope(systemClock);
  const readiness = new Readiness();
  readiness.set('server', 'starting');
  try {
    const core = await createCore({ config, readiness, scope, log, grpcLog, droppedLogLines, worker });
    const opened = await openFronts(core, droppedLogLines, worker);
    const { fronts, privateApi, own } = opened;
    collectAfterCrowds({ scope, open: () => openIn(opened) });
    youngGeneration.letGrow();
    readiness.set('server', undefined);
    worker?.ready();
    await aborted(signal);
    readiness.set('server', 'shutting down');
    const { identities, store, usage, base } = core;
    await drain({
      config,
      fronts,
      privateApi,
      worker: worker && own && { own, together: worker.together },
      handOver: () => identities.handOver(),
      leave() {
        opened.leave();
        void store.tunnelDirectory.leave();
      },
      async flush() {
        await usage.flush();
        await base.tracer?.shutdown();
      },
      scope,
      log,
    });
  } finally {
    scope.close();
    await tracker.flush();
  }
}

/** Connections and streams that are open. */
function openIn({ fronts }: Fronts): number {
  return fronts.map((front) => front.count()).reduce((sum, { connections, streams }) => sum + connections + streams, 0);
}
