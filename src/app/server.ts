import { ConnectionLimit } from '../auth/connection_limit.ts';
import type { Config } from '../config/config.ts';
import { createAgentRegistrar } from '../modules/agent_registrar/register.ts';
import { ProjectAccess } from '../modules/flux/project_access.ts';
import { createReconcileProjects } from '../modules/flux/reconcile_projects.ts';
import { createGitLabAccess } from '../modules/gitlab_access/make_request.ts';
import { createConnect, isConnect } from '../modules/reverse_tunnel/connect.ts';
import type { Front } from '../net/front.ts';
import { createLimits } from '../observability/limits.ts';
import type { Log } from '../observability/log.ts';
import { createMetrics } from '../observability/metrics.ts';
import { Router } from '../routing/router.ts';
import { Siblings } from '../routing/siblings.ts';
import { Whereabouts } from '../routing/whereabouts.ts';
import { aborted } from '../runtime/aborted.ts';
import { systemClock } from '../runtime/clock.ts';
import { collectAfterCrowds } from '../runtime/quiet_heap.ts';
import { systemRandom } from '../runtime/random.ts';
import { Scope } from '../runtime/scope.ts';
import { TunnelPresence } from '../tunnel/presence.ts';
import { TunnelRegistry } from '../tunnel/registry.ts';
import { openAgentApi } from './agent_api.ts';
import { createAgentConfiguration } from './agent_configuration.ts';
import { type Inspected, logStateOnSignal, mountDebug, OwnInspector } from './debug.ts';
import { drain } from './drain.ts';
import { openErrorTracker } from './error_tracker.ts';
import { logOwnUrls } from './front_log.ts';
import { createGitops } from './gitops.ts';
import { createIdentities } from './identities.ts';
import { openInternalApi } from './internal_api.ts';
import { openKubernetesApi } from './kubernetes_api.ts';
import {
  agentWindows,
  createFrontLimits,
  createOpenConnections,
  createWaitingRoom,
  messageLimit,
  nodeWindows,
  observabilityLimits,
  userLimit,
} from './limits.ts';
import { openObservability } from './observability.ts';
import { createOtherNodes } from './other_nodes.ts';
import { openPrivateApi } from './private_api.ts';
import { expectListeners, Readiness } from './readiness.ts';
import { openStore } from './store.ts';
import { openTracer } from './tracing.ts';
import { startUsageReports } from './usage.ts';
import type { WorkerPlace } from './workers/worker_place.ts';

interface ServerOptions {
  readonly config: Config;
  readonly log: Log;
  /** Of the same lines, those of gRPC connections. */
  readonly grpcLog: Log;
  /** How many lines have got lost so far. */
  readonly droppedLogLines: () => number;
  readonly signal: AbortSignal;
  /** Set in a worker: it shares with others what a server alone has to itself. */
  readonly worker?: WorkerPlace | undefined;
}

/**
 * Runs the server until `signal` is aborted and everything has drained.
 * @throws AppError if it cannot start; whatever was opened by then is closed
 */
export async function runServer(options: ServerOptions): Promise<void> {
  const { config, signal, worker } = options;
  const tracker = await openErrorTracker({ config: config.observability.sentry, clock: systemClock, log: options.log });
  const { log } = tracker;
  const scope = new Scope(systemClock);
  const readiness = new Readiness();
  readiness.set('server', 'starting');
  try {
    const { fronts, privateApi, own, handOver, leave, flush } = await openFronts({ ...options, log }, scope, readiness);
    readiness.set('server', undefined);
    worker?.ready();
    await aborted(signal);
    readiness.set('server', 'shutting down');
    await drain({
      config,
      fronts,
      privateApi,
      worker: worker && own && { own, together: worker.together },
      handOver,
      leave,
      flush,
      scope,
      log,
    });
  } finally {
    scope.close();
    await tracker.flush();
  }
}

/** Builds the server and opens its ports; the one for probes first, so that it can say what the others wait for. */
async function openFronts(
  { config, log, grpcLog: connectionLog, droppedLogLines, worker }: ServerOptions,
  scope: Scope,
  readiness: Readiness,
): Promise<{
  fronts: Front[];
  privateApi: Front | undefined;
  own: Front | undefined;
  handOver: () => Promise<void>;
  leave: () => void;
  flush: () => Promise<void>;
}> {
  const random = systemRandom;
  const tracer = await openTracer({ config: config.observability.tracing, clock: scope.clock, log });
  // At the default, error, there is nothing to tell.
  const grpcLog = config.observability.logging.grpcLevel === 'error' ? undefined : connectionLog;
  const base = { scope, log, grpcLog, random, bind: worker?.bind, tracer };
  const store = worker?.store ?? openStore({ ...base, config, readiness });
  const presence = new TunnelPresence(store.tunnelDirectory, scope);
  const tunnels = new TunnelRegistry(presence);
  const observed = {
    connectedAgents: () => store.agentDirectory.count(),
    tunnels: () => tunnels.count(),
    droppedLogLines,
    peers: () => others?.peers.size ?? 0,
    store: store.health,
  };
  const measure = config.server.metrics;
  const metrics = createMetrics(observed, scope, measure);
  const limits = createLimits(metrics.registry, log, scope.clock);
  const limitsOf = createFrontLimits(config.server.limits, limits, createOpenConnections(config.server.limits, log));
  const { gitlab, agents, users, handOver } = createIdentities({ ...base, config, store, metrics, readiness });
  const usage = worker?.usage ?? startUsageReports({ ...base, config, gitlab, store });
  const { gitaly, getConfiguration } = createAgentConfiguration({ ...base, config, store, gitlab, agents, metrics });
  const { privateApi } = config;
  const waitingRoom = createWaitingRoom(config.server.limits, limits);
  const { clock } = scope;
  const asNode = worker?.privateApi ?? privateApi;
  const others =
    asNode &&
    createOtherNodes({
      ...base,
      config: asNode,
      windows: nodeWindows(config.server.limits, limits),
      directory: store.tunnelDirectory,
      metrics,
    });
  const router = new Router({
    ...base,
    tunnels,
    others,
    whereabouts: new Whereabouts({
      agents: store.agentDirectory,
      tunnels: store.tunnelDirectory,
      lastSeenHereMs: (agentId) => presence.lastSeenMs(agentId),
      clock,
    }),
    waitingRoom,
    metrics: metrics.routing,
  });
  const connect = createConnect({ agents, tunnels });
  const reconcileProjects = createReconcileProjects({
    agents,
    access: gitlab && new ProjectAccess({ gitlab, clock, errors: store.errorCache, log }),
    events: store.eventBus,
    usage: usage.counters,
    metrics,
    log: log.with({ mod_name: 'flux' }),
  });
  const gitops = createGitops({
    ...base,
    config: config.agent.gitops,
    gitlab,
    gitaly,
    agents,
    store,
    usage: usage.counters,
    clock,
  });
  const { listen } = config.agent;
  const externalUrl = config.gitlab?.externalUrl ?? '';
  const perMinute = listen.connectionsPerTokenPerMinute;
  // One limit for all workers, whose values add up.
  const ownLimit = perMinute / config.server.workers;
  const observeConnections = metrics.observeLimiter('agent_connection', '{connection/token/m}', ownLimit);

  const scrapes = measure ? metrics.scrapes : undefined;
  const inspected: Inspected = {
    fronts: new Map(),
    tunnels: observed.tunnels,
    waitingRequests: () => waitingRoom.waiting,
    droppedLogLines,
  };
  const inspector = new OwnInspector(inspected, clock);
  logStateOnSignal(inspector, scope, log);
  const { debug } = config.server;
  if (worker === undefined) {
    const own = observabilityLimits(config.server.limits, limits);
    await openObservability({
      ...base,
      config: config.observability,
      limits: own,
      readiness,
      scrapes,
      mount: debug.enabled ? (app) => mountDebug(app, debug, inspector) : undefined,
    });
  } else worker.observe({ readiness, metrics, inspector });
  const limited = limitsOf('private_api');
  const messages = messageLimit(config.server.limits, 'private_api', limits);
  const nodeApi = {
    ...base,
    limits: limited,
    windows: nodeWindows(config.server.limits, limits),
    messages,
    tunnels,
    readiness,
    metrics: metrics.grpc,
  };
  const ownApi = worker && (await openPrivateApi({ ...nodeApi, config: worker.privateApi, bind: undefined }));
  expectListeners(readiness, config);
  const fronts: Front[] = [];
  const isOpen = (name: string, front: Front) => {
    fronts.push(front);
    inspected.fronts.set(name, front);
    readiness.set(name, undefined);
  };
  isOpen(
    'agentServer',
    await openAgentApi({
      ...base,
      listen,
      server: config.server,
      metrics: measure ? metrics.grpc : undefined,
      agents,
      limits: limitsOf('agent_api'),
      messages: messageLimit(config.server.limits, 'agent_api', limits),
      windows: agentWindows(config.server.limits, limits),
      methods: [
        connect,
        getConfiguration,
        reconcileProjects,
        ...gitops,
        createGitLabAccess({ gitlab, log: log.with({ mod_name: 'gitlab_access' }) }),
        ...createAgentRegistrar({
          agents,
          directory: store.agentDirectory,
          ttlMs: config.agent.redisConnInfoTtlMs,
          usage: usage.counters,
          clock: scope.clock,
          log,
        }),
      ],
      fallback: (path) => (isConnect(path) ? connect : undefined),
      limit: new ConnectionLimit({
        limiter: store.tokenLimiter,
        connectionsPerTokenPerMinute: perMinute,
        log,
        clock,
        onDecided(blockedMs, allowed) {
          observeConnections(blockedMs, allowed);
          if (!allowed) metrics.agentRateExceeded.inc();
        },
      }),
    }),
  );
  if (config.api !== undefined) {
    isOpen(
      'apiServer',
      await openInternalApi({
        ...base,
        listen: config.api.listen,
        limits: limitsOf('api'),
        messages: messageLimit(config.server.limits, 'api', limits),
        store,
        readiness,
        gitaly,
        metrics: metrics.grpc,
      }),
    );
  }
  if (worker === undefined) logOwnUrls(log, privateApi);
  const siblings = worker && others && new Siblings({ ...base, peers: others.peers, siblingsOf: worker.siblingsOf });
  const nodesApi = privateApi && (await openPrivateApi({ ...nodeApi, config: privateApi, siblings }));
  if (nodesApi !== undefined) isOpen('privateApiServer', nodesApi.front);
  const { kubernetesApi } = config.agent;
  if (kubernetesApi !== undefined) {
    isOpen(
      'kubernetesApiServer',
      await openKubernetesApi({
        ...base,
        config: kubernetesApi,
        limits: limitsOf('kubernetes_api'),
        perUser: userLimit(config.server.limits, limits),
        externalUrl,
        users,
        agents: router,
        usage: usage.counters,
        metrics: measure ? metrics : undefined,
      }),
    );
  }
  const flush = async () => {
    await usage.flush();
    await tracer?.shutdown();
  };
  const leave = () => {
    ownApi?.leave();
    nodesApi?.leave();
    void store.tunnelDirectory.leave();
  };
  const open = () =>
    fronts.map((front) => front.count()).reduce((sum, { connections, streams }) => sum + connections + streams, 0);
  collectAfterCrowds({ scope, open });
  return { fronts, privateApi: nodesApi?.front, own: ownApi?.front, handOver, leave, flush };
}
