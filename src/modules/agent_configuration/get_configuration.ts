import { create, toBinary } from '@bufbuild/protobuf';
import type { AgentAuthenticator } from '../../auth/agent_authenticator.ts';
import type { AgentMethod } from '../../auth/agent_method.ts';
import { authenticatePersistently } from '../../auth/persistent_authentication.ts';
import {
  ConfigurationRequestSchema,
  ConfigurationResponseSchema,
} from '../../gen/gitlab/agent/agent_configuration/rpc/agent_configuration_pb.ts';
import { oneRequest } from '../../grpc/one_request.ts';
import { OK } from '../../grpc/status.ts';

/** Stands for a configuration that comes from no repository; agents want a commit id that is not empty. */
const NO_REPOSITORY_COMMIT_ID = '0000000000000000000000000000000000000000';

/**
 * AgentConfiguration/GetConfiguration: tells the agent who it is. Its configuration is empty, because nothing here reads
 * repositories; the stream stays open until its connection has aged, since agents that see it end ask again at once.
 */
export function createGetConfiguration(deps: { agents: AgentAuthenticator; externalUrl: string }): AgentMethod {
  return {
    path: '/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration',
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
