import type { AgentAuthenticator } from '../auth/agent_authenticator.ts';
import { type AgentMethod, authenticated } from '../auth/agent_method.ts';
import { AgentProof } from '../auth/agent_proof.ts';
import type { ConnectionLimit } from '../auth/connection_limit.ts';
import type { AgentListen, ServerConfig } from '../config/config.ts';
import { AgentConfiguration } from '../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { AgentRegistrar } from '../gen/gitlab/agent/agent_registrar/rpc/agent_registrar_pb.ts';
import { GitLabFlux } from '../gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { GitlabAccess } from '../gen/gitlab/agent/gitlab_access/rpc/gitlab_access_pb.ts';
import { Gitops } from '../gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { ReverseTunnel } from '../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import type { MessageLimit } from '../grpc/message_reader.ts';
import { serverMetrics } from '../grpc/method_metrics.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { type Front, openFront } from '../net/front.ts';
import type { FrontLimits } from '../net/gate.ts';
import type { Bind } from '../net/listen.ts';
import { createWebSocketTunnel } from '../net/websocket_tunnel.ts';
import type { WindowBudget } from '../net/windows.ts';
import type { GrpcMetrics } from '../observability/grpc_metrics.ts';
import type { Log } from '../observability/log.ts';
import type { Tracer } from '../observability/tracer.ts';
import { identity } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { logUp } from './front_log.ts';

/** What answers on port 8150: agents, over gRPC or gRPC inside a WebSocket. */
export async function openAgentApi(options: {
  readonly listen: AgentListen;
  readonly server: ServerConfig;
  readonly methods: readonly AgentMethod[];
  /** For paths that no method has. */
  readonly fallback: (path: string) => AgentMethod | undefined;
  readonly agents: AgentAuthenticator;
  readonly limit: ConnectionLimit;
  /** Undefined: nothing is counted. */
  readonly metrics: GrpcMetrics | undefined;
  readonly bind: Bind | undefined;
  readonly tracer: Tracer | undefined;
  readonly scope: Scope;
  readonly log: Log;
  /** Of the connections; undefined: nobody is told of them. */
  readonly grpcLog: Log | undefined;
  readonly limits: FrontLimits;
  readonly messages: MessageLimit;
  readonly requests: MessageLimit;
  readonly windows: WindowBudget;
  readonly random: Random;
}): Promise<Front> {
  const { listen, server, limit, scope, log, random } = options;
  const guard = { limit, proof: new AgentProof(options.agents), log };
  const services = [ReverseTunnel, AgentConfiguration, AgentRegistrar, GitLabFlux, GitlabAccess, Gitops];
  const metrics = options.metrics && serverMetrics(services, options.metrics);
  const grpc = createGrpcServer({
    methods: options.methods.map((method) => authenticated(method, guard)),
    fallback(path) {
      const method = options.fallback(path);
      return method && authenticated(method, guard);
    },
    compress: server.agentCompression,
    metrics: (path) => metrics?.get(path),
    messages: options.messages,
    requests: options.requests,
    tracer: options.tracer,
    log,
  });
  const websocket = listen.websocket
    ? createWebSocketTunnel({
        serverHeader: identity,
        scope,
        log,
        accept: (...transport) => front.accept(...transport),
      })
    : {};
  const front = await openFront({
    listen,
    bind: options.bind,
    handlers: { ...websocket, stream: (stream, headers, _rawHeaders, session) => grpc(stream, headers, session) },
    overloaded: 'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
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
  logUp(log, 'Agentk API', front, { is_websocket: listen.websocket });
  return front;
}
