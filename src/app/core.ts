import type { AgentMethod } from '../auth/agent_method.ts';
import type { Config } from '../config/config.ts';
import type { GitalyClient } from '../gitaly/client.ts';
import type { FrontLimits } from '../net/gate.ts';
import type { Bind } from '../net/listen.ts';
import { createLimits, type LimitScope, type Limits } from '../observability/limits.ts';
import type { Log } from '../observability/log.ts';
import { createMetrics, type Metrics } from '../observability/metrics.ts';
import type { Tracer } from '../observability/tracer.ts';
import { Router } from '../routing/router.ts';
import type { OtherNodes } from '../routing/tunnel_search.ts';
import type { WaitingRoom } from '../routing/waiting_room.ts';
import { Whereabouts } from '../routing/whereabouts.ts';
import { type Random, systemRandom } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Store } from '../store/store.ts';
import { TunnelPresence } from '../tunnel/presence.ts';
import { TunnelRegistry } from '../tunnel/registry.ts';
import { createAgentConfiguration } from './agent_configuration.ts';
import { createIdentities, type Identities } from './identities.ts';
import { createFrontLimits, createOpenConnections, createWaitingRoom, nodeWindows } from './limits.ts';
import { createOtherNodes } from './other_nodes.ts';
import type { Readiness } from './readiness.ts';
import { openStore } from './store.ts';
import { openTracer } from './tracing.ts';
import { startUsageReports, type Usage } from './usage.ts';
import type { WorkerPlace } from './workers/worker_place.ts';

/** What every part is given. */
interface Base {
  readonly scope: Scope;
  readonly log: Log;
  /** Of gRPC connections; undefined: nobody is told of them. */
  readonly grpcLog: Log | undefined;
  readonly random: Random;
  /** Undefined: listening sockets of this process. */
  readonly bind: Bind | undefined;
  readonly tracer: Tracer | undefined;
}

/** The server without its ports: what the ports share, each made once. */
export interface Core {
  readonly base: Base;
  readonly config: Config;
  readonly readiness: Readiness;
  readonly store: Store;
  readonly tunnels: TunnelRegistry;
  /** Undefined: there can be no other nodes. */
  readonly others: OtherNodes | undefined;
  readonly router: Router;
  readonly waitingRoom: WaitingRoom;
  readonly identities: Identities;
  readonly usage: Usage;
  readonly gitaly: GitalyClient;
  readonly getConfiguration: AgentMethod;
  readonly metrics: Metrics;
  readonly limits: Limits;
  /** What a listener with credentials takes. */
  readonly limitsOf: (listener: LimitScope) => FrontLimits;
}

/** @throws AppError if something that the configuration names cannot be used */
export async function createCore(options: {
  readonly config: Config;
  readonly readiness: Readiness;
  readonly scope: Scope;
  readonly log: Log;
  readonly grpcLog: Log;
  readonly droppedLogLines: () => number;
  readonly worker: WorkerPlace | undefined;
}): Promise<Core> {
  const { config, readiness, scope, log, worker } = options;
  const { clock } = scope;
  const { server } = config;
  const tracer = await openTracer({ config: config.observability.tracing, clock, log });
  // At the default, error, there is nothing to tell.
  const grpcLog = config.observability.logging.grpcLevel === 'error' ? undefined : options.grpcLog;
  const base = { scope, log, grpcLog, random: systemRandom, bind: worker?.bind, tracer };
  const store = worker?.store ?? openStore({ ...base, config, readiness });
  const presence = new TunnelPresence(store.tunnelDirectory, scope);
  const tunnels = new TunnelRegistry(presence);
  const observed = {
    connectedAgents: () => store.agentDirectory.count(),
    tunnels: () => tunnels.count(),
    droppedLogLines: options.droppedLogLines,
    peers: () => others?.peers.size ?? 0,
    store: store.health,
  };
  const metrics = createMetrics(observed, scope, server.metrics);
  const limits = createLimits(metrics.registry, log, clock);
  const identities = createIdentities({ ...base, config, store, metrics, readiness });
  const { gitlab, agents } = identities;
  const usage = worker?.usage ?? startUsageReports({ ...base, config, gitlab, store });
  const configuration = createAgentConfiguration({ ...base, config, store, gitlab, agents, metrics });
  const asNode = worker?.privateApi ?? config.privateApi;
  const windows = nodeWindows(server.limits, limits);
  const others =
    asNode && createOtherNodes({ ...base, config: asNode, windows, directory: store.tunnelDirectory, metrics });
  const waitingRoom = createWaitingRoom(server.limits, limits);
  const whereabouts = new Whereabouts({
    agents: store.agentDirectory,
    tunnels: store.tunnelDirectory,
    lastSeenHereMs: (agentId) => presence.lastSeenMs(agentId),
    clock,
  });
  const router = new Router({ ...base, tunnels, others, whereabouts, waitingRoom, metrics: metrics.routing });
  const limitsOf = createFrontLimits(server.limits, limits, createOpenConnections(server.limits, log));
  return {
    ...{ base, config, readiness, store, tunnels, others, router, waitingRoom, identities, usage },
    ...{ ...configuration, metrics, limits, limitsOf },
  };
}
