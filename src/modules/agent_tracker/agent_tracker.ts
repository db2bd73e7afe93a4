import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import {
  type ConnectedAgentInfo,
  ConnectedAgentInfoSchema,
} from '../../gen/gitlab/agent/agent_tracker/agent_tracker_pb.ts';
import { AgentTracker } from '../../gen/gitlab/agent/agent_tracker/rpc/agent_tracker_pb.ts';
import { Validator } from '../../gitlab/validation.ts';
import type { Log } from '../../observability/log.ts';
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
  const asked = async <T>(what: string, answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      log.error(`${what}() failed`, { error: errorText(error) });
      throw new AppError(StatusCode.Unavailable, `${what}() failed`, { cause: error });
    }
  };
  const byAgents = async (ids: readonly bigint[]) => ({
    agents: (await asked('GetConnectionsByAgentId', directory.byAgentIds(ids))).map(info),
  });
  const byProjects = async (ids: readonly bigint[]) => ({
    agents: (await asked('GetConnectionsByProjectId', directory.byProjectIds(ids))).map(info),
  });

  return (router) =>
    router.service(AgentTracker, {
      getConnectedAgents({ request }) {
        const validator = new Validator('GetConnectedAgentsRequest').required('Request', request.value);
        requireValid(validator.violations);
        return request.case === 'projectId' ? byProjects([request.value]) : byAgents([request.value ?? 0n]);
      },
      getConnectedAgentsByProjectIDs: ({ projectIds }) => byProjects(projectIds),
      getConnectedAgentsByAgentIds: ({ agentIds }) => byAgents(agentIds),
      getConnectedAgentsByAgentIDs: ({ agentIds }) => byAgents(agentIds),
      getConnectedAgentksByAgentIDs: ({ agentIds }) => byAgents(agentIds),
      async countAgentsByAgentVersions() {
        const counts = await asked('CountAgentsByAgentVersions', directory.countByVersion());
        return { agentVersions: Object.fromEntries([...counts].map(([version, count]) => [version, BigInt(count)])) };
      },
    });
}

function info(agent: ConnectedAgent): ConnectedAgentInfo {
  const { agentMeta, connectedAtMs, connectionId, agentId, projectId } = agent;
  const connectedAt = timestampFromMs(connectedAtMs);
  const known = agentMeta === undefined ? {} : { agentMeta };
  return create(ConnectedAgentInfoSchema, { ...known, connectedAt, connectionId, agentId, projectId });
}
