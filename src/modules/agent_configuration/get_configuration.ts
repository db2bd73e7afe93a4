import { create, toBinary } from '@bufbuild/protobuf';
import type { AgentAuthenticator } from '../../auth/agent_authenticator.ts';
import type { AgentMethod } from '../../auth/agent_method.ts';
import { authenticatePersistently } from '../../auth/persistent_authentication.ts';
import {
  type ConfigurationRequest,
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { oneRequest } from '../../grpc/one_request.ts';
import type { ServerCall } from '../../grpc/server_call.ts';
import { OK } from '../../grpc/status.ts';
import { NowAndThen } from '../../observability/now_and_then.ts';
import type { EventBus } from '../../store/event_bus.ts';
import type { SourceDeps } from './configuration_source.ts';
import { ConfigurationSources } from './configuration_sources.ts';
import { ConfigurationStream, type StreamDeps } from './configuration_stream.ts';
import { type RegistrationDeps, StreamRegistration } from './stream_registration.ts';

const OVER_LIMIT_EVERY_MS = 60_000;
const PATH = '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration';
/** Stands for a configuration that comes from no repository; agents want a commit id that is not empty. */
const NO_REPOSITORY_COMMIT_ID = '0000000000000000000000000000000000000000';

/**
 * AgentConfiguration/GetConfiguration: sends an agent its configuration from its repository, and again whenever that changes
 * (docs/protocol/agent_configuration.md).
 */
export function createGetConfiguration(
  deps: Omit<StreamDeps, 'sources' | 'overLimit'> &
    SourceDeps &
    RegistrationDeps & { readonly events: Pick<EventBus, 'subscribe'> },
): AgentMethod {
  const sources = new ConfigurationSources(deps);
  const streamDeps = {
    ...deps,
    sources,
    overLimit: new NowAndThen(deps.clock, OVER_LIMIT_EVERY_MS),
    log: deps.log.with({
      grpc_service: 'gitlab.agent.agent_configuration.rpc.AgentConfiguration',
      grpc_method: 'GetConfiguration',
    }),
  };
  const open = (call: ServerCall, token: string, request: ConfigurationRequest | undefined) => {
    if (request === undefined) return undefined;
    const { skipRegister, agentMeta } = request;
    const registration = skipRegister ? undefined : new StreamRegistration(deps, deps.pollPeriodMs, agentMeta);
    return new ConfigurationStream(streamDeps, call, token, request, registration);
  };
  return {
    path: PATH,
    async handle(call, token) {
      // No variable has the request: it would be kept as long as the agent is there.
      const stream = open(call, token, await oneRequest(call, ConfigurationRequestSchema));
      if (stream === undefined) return;
      const stopWaitingForAge = call.session.onAge(() => call.end(OK));
      try {
        await stream.run();
      } finally {
        stopWaitingForAge();
      }
    },
  };
}

/**
 * The same where there is no GitLab: tells the agent who it is. Its configuration is empty, because nothing reads
 * repositories then; the stream stays open until its connection has aged, since agents that see it end ask again at once.
 */
export function createStandaloneGetConfiguration(deps: {
  readonly agents: AgentAuthenticator;
  readonly externalUrl: string;
}): AgentMethod {
  return {
    path: PATH,
    async handle(call, token) {
      const { session } = call;
      const request = await oneRequest(call, ConfigurationRequestSchema);
      if (request === undefined) return;
      const agent = await authenticatePersistently(deps.agents, token, call);
      if (agent !== undefined && request.commitId !== NO_REPOSITORY_COMMIT_ID) {
        const response = create(ConfigurationResponseSchema, {
          commitId: NO_REPOSITORY_COMMIT_ID,
          configuration: {
            agentId: agent.id,
            projectId: agent.projectId,
            projectPath: agent.projectPath,
            gitlabExternalUrl: deps.externalUrl,
          },
        });
        call.write(toBinary(ConfigurationResponseSchema, response));
      }
      call.onOver(session.onAge(() => call.end(OK)));
    },
  };
}
