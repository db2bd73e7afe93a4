import process from 'node:process';
import type { Config } from '../../config/config.ts';
import { packConfig } from '../../config/transfer.ts';
import { createGitLabClient } from '../../gitlab/create_client.ts';
import { SharedListeners } from '../../net/shared_listeners.ts';
import { Hint } from '../../observability/hints.ts';
import { createLimits } from '../../observability/limits.ts';
import type { Log } from '../../observability/log.ts';
import { createMetrics } from '../../observability/metrics.ts';
import { aborted } from '../../runtime/aborted.ts';
import { identity } from '../../runtime/build_info.ts';
import { systemClock } from '../../runtime/clock.ts';
import { systemRandom } from '../../runtime/random.ts';
import { Scope } from '../../runtime/scope.ts';
import { MemoryUsageCounters } from '../../store/memory/usage_counters.ts';
import { serveStore } from '../../store/shared/dispatcher.ts';
import { TunnelBoard } from '../../store/shared/tunnel_board.ts';
import { collectUsage } from '../../store/shared/usage_hand_over.ts';
import type { Store } from '../../store/store.ts';
import { type Inspected, logStateOnSignal, mountDebug, OwnInspector } from '../debug.ts';
import { longestDrainMs } from '../drain.ts';
import { logOwnUrls } from '../front_log.ts';
import { onSecretTrouble } from '../gitlab_trouble.ts';
import { observabilityLimits } from '../limits.ts';
import { openObservability } from '../observability.ts';
import { Readiness } from '../readiness.ts';
import { openStore } from '../store.ts';
import { startUsageReports, type Usage } from '../usage.ts';
import { Crew } from './crew.ts';
import { CrewInspector } from './inspection.ts';
import { MergedMetrics } from './merged_metrics.ts';
import { createPrivateFolder } from './private_folder.ts';
import { Rendezvous } from './rendezvous.ts';
import { shareOf } from './share.ts';
import type { StartMessage } from './start_message.ts';
import { startWorkerProcess } from './worker_process.ts';

interface PrimaryOptions {
  readonly config: Config;
  readonly log: Log;
  /** Takes whole lines of the workers' logs. */
  readonly pass: (lines: string) => void;
  /** How many lines have got lost so far. */
  readonly droppedLogLines: () => number;
  readonly signal: AbortSignal;
}

/** Beyond what a drain may last by itself. */
const SPARE_MS = 15_000;

/**
 * Runs the server in several workers until `signal` is aborted and everything has drained. This process, the primary, serves
 * nobody but probes and scrapes: it owns the listening sockets and what the workers share (docs/architecture.md, more cores).
 * @throws AppError if a worker cannot start; whatever was opened by then is closed
 */
export async function runPrimary(options: PrimaryOptions): Promise<void> {
  const { config, log, droppedLogLines, signal } = options;
  const scope = new Scope(systemClock);
  const base = { scope, log, random: systemRandom };
  const readiness = new Readiness();
  readiness.set('server', 'starting');
  const listeners = new SharedListeners();
  try {
    const usageCounters = new MemoryUsageCounters();
    const store = openStore({ ...base, config, readiness });
    const board = new TunnelBoard(config.redis && store.tunnelDirectory);
    const crew = createCrew(options, { scope, readiness, listeners, store, board, usageCounters });
    const observed = {
      connectedAgents: () => store.agentDirectory.count(),
      tunnels: () => ({ idle: 0, busy: 0, agents: board.agents }),
      droppedLogLines,
      peers: () => 0,
      store: store.health,
    };
    const metrics = createMetrics(observed, scope, config.server.metrics);
    const { registry, scrapes } = metrics;
    const merged = new MergedMetrics({ ...base, own: registry, links: () => crew.links().values() });
    const { debug } = config.server;
    const inspected: Inspected = { ...observed, fronts: new Map(), waitingRequests: () => 0 };
    const own = new OwnInspector(inspected, scope.clock);
    const inspector = new CrewInspector(own, () => crew.links(), scope);
    await openObservability({
      ...base,
      config: config.observability,
      limits: observabilityLimits(config.server.limits, createLimits(registry, log, scope.clock)),
      readiness,
      scrapes: config.server.metrics
        ? { page: (accept, encoding) => scrapes.page(accept, encoding, () => merged.collect()) }
        : undefined,
      mount: debug.enabled ? (app) => mountDebug(app, debug, inspector) : undefined,
    });
    logStateOnSignal(inspector, scope, log);
    logOwnUrls(log, config.privateApi);
    log.info('Starting workers', { workers: config.server.workers });
    const shutdown = aborted(signal);
    await Promise.race([crew.start(), shutdown]);
    const usage = reportUsage(config, usageCounters, base, onSecretTrouble(readiness, metrics));
    readiness.set('server', undefined);
    await shutdown;
    readiness.set('server', 'shutting down');
    await crew.leave(longestDrainMs(config) + SPARE_MS);
    await usage.flush();
  } finally {
    scope.close();
    await listeners.close();
  }
}

function createCrew(
  { config, log, pass }: PrimaryOptions,
  shared: {
    readonly scope: Scope;
    readonly readiness: Readiness;
    readonly listeners: SharedListeners;
    readonly store: Store;
    readonly board: TunnelBoard;
    readonly usageCounters: MemoryUsageCounters;
  },
): Crew {
  const { scope, readiness, listeners, store, board, usageCounters } = shared;
  const folder = scope.own(createPrivateFolder());
  const rendezvous = new Rendezvous(scope);
  const secret = systemRandom.bytes(32);
  const packed = packConfig(shareOf(config, config.server.workers));
  return new Crew({
    size: config.server.workers,
    start: (number) =>
      startWorkerProcess(number, {
        line: pass,
        strange: (text) =>
          log.error('A worker wrote to its standard error', { worker: number, text, hint: Hint.defect }),
      }),
    serve(number, link) {
      const ownSocket = `${folder.path}/worker-${number}.sock`;
      const ownUrl = `unix://${ownSocket}`;
      link.on('worker.start', (): StartMessage => ({ config: packed, number, ownSocket, secret }));
      link.on('worker.joins', () => board.join(ownUrl, link));
      link.on<[bigint]>('store.nodesOf', ([agentId]) => store.tunnelDirectory.nodesOf(agentId));
      rendezvous.join(number);
      link.on('worker.closed', () => rendezvous.arrive(number));
      listeners.serve(link);
      const unsubscribe = serveStore(link, store);
      collectUsage(link, usageCounters);
      return () => {
        rendezvous.leave(number);
        listeners.gone(link);
        board.leave(ownUrl);
        unsubscribe();
      };
    },
    readiness,
    scope,
    random: systemRandom,
    log,
  });
}

/** One process tells GitLab what all have counted. */
function reportUsage(
  config: Config,
  usageCounters: MemoryUsageCounters,
  base: { readonly scope: Scope; readonly log: Log; readonly random: typeof systemRandom },
  onSecretTrouble: (trouble: string | undefined) => void,
): Usage {
  const { scope } = base;
  const { env } = process;
  const gitlab =
    config.gitlab &&
    scope.own(
      createGitLabClient({ ...base, config: config.gitlab, clock: scope.clock, identity, env, onSecretTrouble }),
    );
  return startUsageReports({ ...base, config, gitlab, store: { usageCounters } });
}
