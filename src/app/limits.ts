import type { LimitsConfig } from '../config/config.ts';
import type { MessageLimit } from '../grpc/message_reader.ts';
import type { FrontLimits, OpenConnections } from '../net/gate.ts';
import { WindowBudget } from '../net/windows.ts';
import type { LimitHit, LimitName, LimitScope, Limits } from '../observability/limits.ts';
import type { Log } from '../observability/log.ts';
import { WaitingRoom } from '../routing/waiting_room.ts';
import { fileLimit } from '../runtime/file_limit.ts';

/** What the process keeps for itself: log, files, GitLab, Gitaly, Redis, other nodes, probes. */
const reservedFiles = (limit: number): number => Math.min(1024, Math.max(64, Math.floor(limit / 8)));

/** How many connections all listeners together may have, with the file descriptors that the process has got. */
export function createOpenConnections(config: LimitsConfig, log: Log, limit = fileLimit()): OpenConnections {
  if (limit === undefined) return { max: Number.POSITIVE_INFINITY, open: 0 };
  const max = Math.max(1, limit - reservedFiles(limit));
  if (max < config.connectionsPerListener) {
    log.warn('There are fewer file descriptors than connections allowed', {
      max,
      file_descriptors: limit,
      hint: 'raise the limit (ulimit -n, LimitNOFILE=), or lower server.limits.connections_per_listener',
    });
  }
  return { max, open: 0 };
}

/** What each listener with credentials takes. */
export function createFrontLimits(
  config: LimitsConfig,
  limits: Limits,
  shared: OpenConnections,
): (listener: LimitScope) => FrontLimits {
  return (listener) => limitsOf(config, limits, listener, shared);
}

/**
 * For probes and scrapes, which come without credentials and have to be possible when all other connections are taken: they may
 * have half of what is kept for the process itself.
 */
export function observabilityLimits(config: LimitsConfig, limits: Limits, files = fileLimit()): FrontLimits {
  const kept = reservedFiles(files ?? Number.POSITIVE_INFINITY);
  const connectionsPerListener = Math.min(config.connectionsPerListener, kept / 2);
  const limited = limitsOf({ ...config, connectionsPerListener }, limits, 'observability', undefined);
  return { ...limited, newcomers: connectionsPerListener, newcomerMs: undefined };
}

function limitsOf(
  config: LimitsConfig,
  limits: Limits,
  listener: LimitScope,
  shared: OpenConnections | undefined,
): FrontLimits {
  const hit = (name: LimitName, key: string, max: number) => limits.hit(name, listener, `server.limits.${key}`, max);
  const perListener = config.connectionsPerListener;
  const unauthenticated = config.unauthenticatedConnectionsPerListener;
  return {
    connections: perListener,
    newcomers: unauthenticated,
    newcomerMs: config.unauthenticatedTimeMs,
    shared,
    headerBytes: config.headerBytes,
    streamsPerConnection: config.streamsPerConnection,
    hits: {
      connections: hit('connections', 'connections_per_listener', perListener),
      fileDescriptors: limits.hit('file_descriptors', listener, 'ulimit -n', shared?.max ?? 0),
      newcomers: hit('unauthenticated_connections', 'unauthenticated_connections_per_listener', unauthenticated),
      newcomerTime: hit('unauthenticated_time', 'unauthenticated_time', config.unauthenticatedTimeMs / 1000),
      headerBytes: hit('header_bytes', 'header_bytes', config.headerBytes),
      streams: hit('streams_per_connection', 'streams_per_connection', config.streamsPerConnection),
    },
  };
}

/** How large a message a listener takes. */
export function messageLimit(config: LimitsConfig, listener: LimitScope, limits: Limits): MessageLimit {
  const { messageBytes: maxBytes } = config;
  return { maxBytes, exceeded: limits.hit('message_bytes', listener, 'server.limits.message_bytes', maxBytes) };
}

/** How large what is kept of an agent's call may be. */
export function requestLimit(config: LimitsConfig, limits: Limits): MessageLimit {
  const { requestBytes: maxBytes } = config;
  return { maxBytes, exceeded: limits.hit('request_bytes', 'agent_api', 'server.limits.request_bytes', maxBytes) };
}

/** What agents may have in flight towards this process. */
export function agentWindows(config: LimitsConfig, limits: Limits): WindowBudget {
  return new WindowBudget({
    perStreamBytes: config.bytesInFlightPerTunnel,
    perConnectionBytes: config.bytesInFlightPerAgentConnection,
    totalBytes: config.bytesInFlight,
    exceeded: bytesInFlight(config, limits, 'agent_api'),
  });
}

/** What other nodes may. One connection carries the calls of all agents between two of them. */
export function nodeWindows(config: LimitsConfig, limits: Limits): WindowBudget {
  return new WindowBudget({
    perConnectionBytes: config.bytesInFlight,
    totalBytes: config.bytesInFlight,
    exceeded: bytesInFlight(config, limits, 'private_api'),
  });
}

function bytesInFlight({ bytesInFlight: max }: LimitsConfig, limits: Limits, listener: LimitScope): LimitHit {
  return limits.hit('bytes_in_flight', listener, 'server.limits.bytes_in_flight', max);
}

/** How many requests a user may have under way. */
export function userLimit(config: LimitsConfig, limits: Limits): { readonly max: number; readonly exceeded: LimitHit } {
  const { requestsPerUser: max } = config;
  const key = 'server.limits.requests_per_user';
  return { max, exceeded: limits.hit('requests_per_user', 'kubernetes_api', key, max) };
}

/** Where requests wait for a tunnel, as large as configured. */
export function createWaitingRoom(config: LimitsConfig, limits: Limits): WaitingRoom {
  const { waitingRequestsPerAgent: perAgent, waitingRequests: inAll } = config;
  const hit = (name: 'waiting_requests_per_agent' | 'waiting_requests', max: number) =>
    limits.hit(name, 'server', `server.limits.${name}`, max);
  return new WaitingRoom({
    perAgent,
    inAll,
    agentFull: hit('waiting_requests_per_agent', perAgent),
    full: hit('waiting_requests', inAll),
  });
}
