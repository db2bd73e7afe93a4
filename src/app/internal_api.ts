import type { RpcListen } from '../config/config.ts';
import { AgentTracker } from '../gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { ConfigurationProject } from '../gen/gitlab/agent/configuration_project/rpc/configuration_project_pb.ts';
import { Notifications } from '../gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { ServerInfo } from '../gen/gitlab/agent/server_info/rpc/server_info_pb.ts';
import { Health } from '../gen/grpc/health/v1/health_pb.ts';
import type { GitalyClient } from '../gitaly/client.ts';
import type { MessageLimit } from '../grpc/message_reader.ts';
import { createAgentTracker } from '../modules/agent_tracker/agent_tracker.ts';
import { createConfigurationProject } from '../modules/configuration_project/configuration_project.ts';
import { createHealth } from '../modules/grpc_health/health.ts';
import { createReflection } from '../modules/grpc_reflection/reflection.ts';
import { createNotifications } from '../modules/notifications/notifications.ts';
import { createServerInfo } from '../modules/server_info/server_info.ts';
import { type Front, openFront } from '../net/front.ts';
import type { FrontLimits } from '../net/gate.ts';
import type { Bind } from '../net/listen.ts';
import type { GrpcMetrics } from '../observability/grpc_metrics.ts';
import type { Log } from '../observability/log.ts';
import type { Tracer } from '../observability/tracer.ts';
import { createConnectServer } from '../rpc/connect_server.ts';
import { createJwtAdmission } from '../rpc/jwt_admission.ts';
import { buildInfo } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Store } from '../store/store.ts';
import { logUp } from './front_log.ts';
import type { Readiness } from './readiness.ts';

/** For a whole request of HTTP/1.1, which is small; GitLab's come over HTTP/2. */
const REQUEST_TIMEOUT_MS = 60_000;

/** What answers on port 8153: GitLab and administrators, over gRPC, gRPC-Web or Connect. */
export async function openInternalApi(options: {
  readonly listen: RpcListen;
  readonly store: Pick<Store, 'agentDirectory' | 'eventBus'>;
  readonly gitaly: GitalyClient;
  readonly readiness: Readiness;
  readonly metrics: GrpcMetrics;
  readonly bind: Bind | undefined;
  readonly tracer: Tracer | undefined;
  readonly scope: Scope;
  readonly log: Log;
  /** Of the connections; undefined: nobody is told of them. */
  readonly grpcLog: Log | undefined;
  readonly limits: FrontLimits;
  readonly messages: MessageLimit;
  readonly random: Random;
}): Promise<Front> {
  const { listen, store, gitaly, readiness, metrics, scope, log, random } = options;
  const services = [ServerInfo, AgentTracker, ConfigurationProject, Notifications];
  const front = await openFront({
    listen,
    bind: options.bind,
    handlers: createConnectServer({
      services: [
        createServerInfo(buildInfo),
        createAgentTracker({ directory: store.agentDirectory, log }),
        createConfigurationProject({ gitaly, log }),
        createNotifications({ events: store.eventBus, log }),
        createHealth({
          ready: () => readiness.missing.length === 0,
          services: services.map(({ typeName }) => typeName),
          scope,
        }),
        createReflection([...services, Health]),
      ],
      admit: createJwtAdmission({
        required: { secret: listen.authenticationSecret, audience: 'gitlab-kas' },
        open: new Set([Health.typeName]),
        clock: scope.clock,
        log,
      }),
      metrics,
      tracer: options.tracer,
      messages: options.messages,
      prove: (connection) => front.prove(connection),
      scope,
      log,
    }),
    http1: { requestTimeoutMs: REQUEST_TIMEOUT_MS },
    http2: { maxConnectionAgeMs: listen.maxConnectionAgeMs, limitPings: true },
    limits: options.limits,
    scope,
    log,
    grpcLog: options.grpcLog,
    random,
  });
  logUp(log, 'API', front);
  return front;
}
