import type { AgentMeta } from '../../gen/gitlab/agent/entity/entity_pb.ts';
import type { AgentConnection } from '../../store/agent_directory.ts';
import type { EventFields } from '../../store/usage_counters.ts';

/** What agents say of themselves is kept until GitLab takes it: nothing that is true is longer. */
const MAX_TEXT = 128;

/**
 * Tells GitLab which agents there are, and on what (docs/protocol/usage.md). What an agent does not say is left out; newer
 * agents say more, in fields whose numbers are not known.
 */
export function registerEvent({ projectId, agentId }: AgentConnection, meta: AgentMeta | undefined): EventFields {
  const { gitVersion, platform } = meta?.kubernetesVersion ?? { gitVersion: '', platform: '' };
  return {
    project_id: projectId,
    agent_id: agentId,
    ...text('agent_version', meta?.version ?? ''),
    // linux/amd64
    ...text('architecture', platform.slice(platform.indexOf('/') + 1)),
    ...text('kubernetes_version', gitVersion),
  };
}

function text(name: string, value: string): EventFields {
  if (value === '') return {};
  // A copy: a slice would keep the whole text in memory.
  return { [name]: Buffer.from(value.slice(0, MAX_TEXT)).toString() };
}
