import { ConnectionLimit } from '../auth/connection_limit.ts';
import type { Front } from '../net/front.ts';
import { Siblings } from '../routing/siblings.ts';
import { openAgentApi } from './agent_api.ts';
import { createAgentMethods } from './agent_methods.ts';
import type { Core } from './core.ts';
import { type Inspected, logStateOnSignal, mountDebug, OwnInspector } from './debug.ts';
import { logOwnUrls } from './front_log.ts';
import { openInternalApi } from './internal_api.ts';
import { openKubernetesApi } from './kubernetes_api.ts';
import { agentWindows, messageLimit, nodeWindows, observabilityLimits, requestLimit, userLimit } from './limits.ts';
import { openObservability } from './observability.ts';
import { openPrivateApi } from './private_api.ts';
import { expectListeners } from './readiness.ts';
import type { WorkerPlace } from './workers/worker_place.ts';

/** The ports of a server, and what they are closed with. */
export interface Fronts {
  /** All but those for probes and for siblings. */
  readonly fronts: readonly Front[];
  /** That of `fronts` which other nodes use. */
  readonly privateApi: Front | undefined;
  /** A worker's, for its siblings. */
  readonly own: Front | undefined;
  /** Sends nodes that wait for a tunnel here elsewhere. */
  leave(): void;
}

/**
 * Opens the ports; the one for probes first, so that it can say what the others wait for.
 * @throws AppError if one of them cannot be opened
 */
export async function openFronts(
  core: Core,
  droppedLogLines: () => number,
  worker: WorkerPlace | undefined,
): Promise<Fronts> {
  const { base, config, readiness, limits, limitsOf } = core;
  const opened = new Map<string, Front>();
  const isOpen = (name: string, front: Front) => {
    opened.set(name, front);
    readiness.set(name, undefined);
  };
  await openForOperators(core, { fronts: opened, droppedLogLines }, worker);
  const nodeApi = {
    ...base,
    limits: limitsOf('private_api'),
    windows: nodeWindows(config.server.limits, limits),
    messages: messageLimit(config.server.limits, 'private_api', limits),
    tunnels: core.tunnels,
    readiness,
    metrics: core.metrics.grpc,
  };
  const own = worker && (await openPrivateApi({ ...nodeApi, config: worker.privateApi, bind: undefined }));
  expectListeners(readiness, config);
  isOpen('agentServer', await openForAgents(core));
  if (config.api !== undefined) {
    const internalApi = await openInternalApi({
      ...base,
      listen: config.api.listen,
      limits: limitsOf('api'),
      messages: messageLimit(config.server.limits, 'api', limits),
      store: core.store,
      readiness,
      gitaly: core.gitaly,
      metrics: core.metrics.grpc,
    });
    isOpen('apiServer', internalApi);
  }
  const { others } = core;
  const { privateApi } = config;
  if (worker === undefined) logOwnUrls(base.log, privateApi);
  const siblings = worker && others && new Siblings({ ...base, peers: others.peers, siblingsOf: worker.siblingsOf });
  const forNodes = privateApi && (await openPrivateApi({ ...nodeApi, config: privateApi, siblings }));
  if (forNodes !== undefined) isOpen('privateApiServer', forNodes.front);
  const { kubernetesApi } = config.agent;
  if (kubernetesApi !== undefined) {
    const proxy = await openKubernetesApi({
      ...base,
      config: kubernetesApi,
      limits: limitsOf('kubernetes_api'),
      perUser: userLimit(config.server.limits, limits),
      externalUrl: config.gitlab?.externalUrl ?? '',
      users: core.identities.users,
      agents: core.router,
      usage: core.usage.counters,
      metrics: config.server.metrics ? core.metrics : undefined,
    });
    isOpen('kubernetesApiServer', proxy);
  }
  return {
    fronts: [...opened.values()],
    privateApi: forNodes?.front,
    own: own?.front,
    leave() {
      own?.leave();
      forNodes?.leave();
    },
  };
}

/** Probes, metrics, and what the process tells of itself. */
async function openForOperators(
  core: Core,
  { fronts, droppedLogLines }: Pick<Inspected, 'fronts' | 'droppedLogLines'>,
  worker: WorkerPlace | undefined,
): Promise<void> {
  const { base, config, readiness, metrics, waitingRoom } = core;
  const { limits, debug } = config.server;
  const inspected: Inspected = {
    fronts,
    tunnels: () => core.tunnels.count(),
    waitingRequests: () => waitingRoom.waiting,
    droppedLogLines,
  };
  const inspector = new OwnInspector(inspected, base.scope.clock);
  logStateOnSignal(inspector, base.scope, base.log);
  if (worker !== undefined) {
    worker.observe({ readiness, metrics, inspector });
    return;
  }
  await openObservability({
    ...base,
    config: config.observability,
    limits: observabilityLimits(limits, core.limits),
    readiness,
    scrapes: config.server.metrics ? metrics.scrapes : undefined,
    mount: debug.enabled ? (app) => mountDebug(app, debug, inspector) : undefined,
  });
}

async function openForAgents(core: Core): Promise<Front> {
  const { base, config, limits, metrics, store } = core;
  const { listen } = config.agent;
  const perMinute = listen.connectionsPerTokenPerMinute;
  // One limit for all workers, whose values add up.
  const ownLimit = perMinute / config.server.workers;
  const observeConnections = metrics.observeLimiter('agent_connection', '{connection/token/m}', ownLimit);
  const limit = new ConnectionLimit({
    limiter: store.tokenLimiter,
    connectionsPerTokenPerMinute: perMinute,
    log: base.log,
    clock: base.scope.clock,
    onDecided(blockedMs, allowed) {
      observeConnections(blockedMs, allowed);
      if (!allowed) metrics.agentRateExceeded.inc();
    },
  });
  return await openAgentApi({
    ...base,
    ...createAgentMethods(core),
    listen,
    server: config.server,
    metrics: config.server.metrics ? metrics.grpc : undefined,
    agents: core.identities.agents,
    limit,
    limits: core.limitsOf('agent_api'),
    messages: messageLimit(config.server.limits, 'agent_api', limits),
    requests: requestLimit(config.server.limits, limits),
    windows: agentWindows(config.server.limits, limits),
  });
}
