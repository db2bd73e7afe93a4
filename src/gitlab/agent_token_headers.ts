/**
 * An agent's token, where each release of GitLab looks for it (docs/protocol/gitlab.md#agent_info). Below
 * /internal/kubernetes/ a bearer that is no user's token does no harm; elsewhere it may be refused as one.
 *
 * @param path of the call
 */
export function agentTokenHeaders(path: string, agentToken: string): Record<string, string> {
  return {
    ...(path.startsWith('/api/v4/internal/kubernetes/') && { Authorization: `Bearer ${agentToken}` }),
    'Gitlab-Agent-Api-Request': agentToken,
    'Gitlab-Agentk-Api-Request': agentToken,
  };
}
