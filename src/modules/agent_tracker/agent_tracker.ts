import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import {
  type ConnectedAgentInfo,
  ConnectedAgentInfoSchema,
} from '../../gen/gitlab/agent/agent_tracker/agent_tracker_pb.ts';
import { AgentTracker } from '../../gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { Validator } from '../../gitlab/validation.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { callTrail } from '../../rpc/traced_calls.ts';
import { requireValid } from '../../rpc/valid_request.ts';
import { AppError, errorText } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { AgentDirectory, ConnectedAgent } from '../../store/agent_directory.ts';

/**
 * AgentTracker: who is connected. Each generation of GitLab asks by another name for the same
 * (docs/protocol/internal_api.md, connected agents).
 */
export function createAgentTracker(deps: {
  readonly directory: AgentDirectory;
  readonly log: Log;
}): (router: ConnectRouter) => void {
  const { directory, log } = deps;
  const asked = async <T>(what: string, answer: Promise<T>, context: HandlerContext): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      log.error(`${what}() failed`, {
        grpc_service: AgentTracker.typeName,
        grpc_method: context.method.name,
        error: errorText(error),
        hint: Hint.store,
        ...callTrail(context.values),
      });
      throw new AppError(StatusCode.Unavailable, `${what}() failed`, { cause: error });
    }
  };
  const byAgents = async (ids: readonly bigint[], context: HandlerContext) => ({
    agents: (await asked('GetConnectionsByAgentId', directory.byAgentIds(ids), context)).map(connectedAgentInfo),
  });
  const byProjects = async (ids: readonly bigint[], context: HandlerContext) => ({
    agents: (await asked('GetConnectionsByProjectId', directory.byProjectIds(ids), context)).map(connectedAgentInfo),
  });

  return (router) =>
    router.service(AgentTracker, {
      getConnectedAgents({ request }, context) {
        const validator = new Validator('GetConnectedAgentsRequest').required('Request', request.value);
        requireValid(validator.violations);
        return request.case === 'projectId'
          ? byProjects([request.value], context)
          : byAgents([request.value ?? 0n], context);
      },
      getConnectedAgentsByProjectIDs: ({ projectIds }, context) => byProjects(projectIds, context),
      getConnectedAgentsByAgentIds: ({ agentIds }, context) => byAgents(agentIds, context),
      getConnectedAgentsByAgentIDs: ({ agentIds }, context) => byAgents(agentIds, context),
      getConnectedAgentksByAgentIDs: ({ agentIds }, context) => byAgents(agentIds, context),
      async countAgentsByAgentVersions(_, context) {
        const counts = await asked('CountAgentsByAgentVersions', directory.countByVersion(), context);
        return { agentVersions: Object.fromEntries([...counts].map(([version, count]) => [version, BigInt(count)])) };
      },
    });
}

/** As those who ask are told of it. */
export function connectedAgentInfo(agent: ConnectedAgent): ConnectedAgentInfo {
  const { agentMeta, connectedAtMs, connectionId, agentId, projectId } = agent;
  const connectedAt = timestampFromMs(connectedAtMs);
  const known = agentMeta === undefined ? {} : { agentMeta };
  return create(ConnectedAgentInfoSchema, { ...known, connectedAt, connectionId, agentId, projectId });
}
