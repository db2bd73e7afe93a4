import { NodeTokenVerifier } from '../auth/node_token.ts';
import type { PrivateApiConfig } from '../config/config.ts';
import { ServerInfo } from '../gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { Health } from '../gen/grpc/health/v1/health_pb.ts';
import type { MessageLimit } from '../grpc/message_reader.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { createHealth } from '../modules/grpc_health/health.ts';
import { createReflection } from '../modules/grpc_reflection/reflection.ts';
import { createServerInfo } from '../modules/server_info/server_info.ts';
import { type Front, openFront } from '../net/front.ts';
import type { FrontLimits } from '../net/gate.ts';
import type { Bind } from '../net/listen.ts';
import type { WindowBudget } from '../net/windows.ts';
import type { GrpcMetrics } from '../observability/grpc_metrics.ts';
import type { Log } from '../observability/log.ts';
import type { Tracer } from '../observability/tracer.ts';
import { AGENT_METHODS } from '../routing/agent_methods.ts';
import { Gateway } from '../routing/gateway.ts';
import type { Siblings } from '../routing/siblings.ts';
import { createConnectServer } from '../rpc/connect_server.ts';
import { createJwtAdmission } from '../rpc/jwt_admission.ts';
import { buildInfo } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { TunnelRegistry } from '../tunnel/registry.ts';
import { logUp } from './front_log.ts';
import type { Readiness } from './readiness.ts';

/**
 * What answers on port 8155: other nodes. Their calls to agents go through the gateway, on the data plane; what administrators
 * may ask is served by Connect.
 */
export async function openPrivateApi(options: {
  readonly config: PrivateApiConfig;
  readonly tunnels: TunnelRegistry;
  /** Set where callers mean all workers of this server. */
  readonly siblings?: Siblings | undefined;
  readonly readiness: Readiness;
  readonly metrics: GrpcMetrics;
  readonly bind: Bind | undefined;
  readonly tracer: Tracer | undefined;
  readonly limits: FrontLimits;
  readonly windows: WindowBudget;
  readonly messages: MessageLimit;
  readonly scope: Scope;
  readonly log: Log;
  /** Of the connections; undefined: nobody is told of them. */
  readonly grpcLog: Log | undefined;
  readonly random: Random;
}): Promise<{ readonly front: Front; leave(): void }> {
  const { config, tunnels, siblings, readiness, metrics, tracer, scope, log, random } = options;
  const { listen } = config;
  const { clock } = scope;
  const tokens = new NodeTokenVerifier(listen.authenticationSecret, clock);
  const gateway = new Gateway({ tunnels, siblings, tokens, clock, log });
  const toAgents = createGrpcServer({
    methods: AGENT_METHODS.map((path) => gateway.method(path)),
    compress: false,
    messages: options.messages,
    // Streams both ways between nodes, whatever they are to agents.
    metrics: (path) => metrics.server(path, 'bidi_stream'),
    tracer,
    log,
  });
  const agentServices = new Set(AGENT_METHODS.map(serviceOf));
  const ownCalls = createConnectServer({
    services: [
      createServerInfo(buildInfo),
      createHealth({ ready: () => readiness.missing.length === 0, services: [ServerInfo.typeName], scope }),
      createReflection([ServerInfo, Health]),
    ],
    admit: createJwtAdmission({
      required: { secret: listen.authenticationSecret, audience: 'gitlab-kas', issuer: 'gitlab-kas' },
      open: new Set([Health.typeName]),
      clock,
      log,
    }),
    metrics,
    tracer,
    messages: options.messages,
    prove: (connection) => front.prove(connection),
    scope,
    log,
  });
  const front = await openFront({
    listen,
    bind: options.bind,
    handlers: {
      request: ownCalls.request,
      stream(stream, headers, rawHeaders, session) {
        if (agentServices.has(serviceOf(headers[':path'] ?? ''))) toAgents(stream, headers, session, rawHeaders);
        else ownCalls.stream(stream, headers, rawHeaders, session);
      },
    },
    http2: {
      maxConnectionAgeMs: listen.maxConnectionAgeMs,
      limitPings: true,
      windows: options.windows,
    },
    limits: options.limits,
    scope,
    log,
    grpcLog: options.grpcLog,
    random,
  });
  logUp(log, 'Private API', front);
  return { front, leave: () => gateway.leave() };
}

function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf('/'));
}
