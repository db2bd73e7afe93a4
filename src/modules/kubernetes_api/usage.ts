import type { UsageCounters } from '../../store/usage_counters.ts';
import type { AccessForm } from './authorize.ts';

/** What is counted of a request (docs/protocol/usage.md). */
interface Countable {
  readonly agentId: bigint;
  readonly accessForm: AccessForm;
  readonly userId: bigint | undefined;
  readonly projectId: bigint | undefined;
}

/** GitLab's names, put together once and not for each request. */
const names: Record<AccessForm, ReturnType<typeof namesOf>> = {
  ci_access: namesOf('ci_access'),
  user_access: namesOf('user_access'),
  pat_access: namesOf('pat_access'),
};

/** Counts a request that is allowed to go to an agent, whether or not it gets there. */
export function countUsage(usage: UsageCounters, { agentId, accessForm, userId, projectId }: Countable): void {
  const { requests, users, agents } = names[accessForm];
  usage.increment('k8s_api_proxy_request');
  usage.increment(requests);
  usage.addUnique(agents, agentId);
  if (userId === undefined) return;
  usage.addUnique(users, userId);
  if (projectId !== undefined) usage.addUserEvent(users, userId, projectId);
}

function namesOf(form: AccessForm) {
  return {
    requests: `k8s_api_proxy_requests_via_${form}`,
    /** Also the name of the events. */
    users: `k8s_api_proxy_requests_unique_users_via_${form}`,
    agents: `k8s_api_proxy_requests_unique_agents_via_${form}`,
  };
}
