import { agentTokenHeaders } from '../agent_token_headers.ts';
import { readNoContent } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions } from '../client.ts';
import { GitLabError } from '../gitlab_error.ts';

const PATH = '/api/v4/internal/kubernetes/verify_project_access';

/** Asks whether an agent may read a project (docs/protocol/gitlab.md#what-agents-may-read). Never repeated. */
export async function verifyProjectAccess(
  api: ApiCaller,
  agentToken: string,
  projectPath: string,
  options: CallOptions,
): Promise<boolean> {
  const headers = agentTokenHeaders(PATH, agentToken);
  const response = await api.call(
    { method: 'GET', path: PATH, query: { id: projectPath }, headers, retry: false },
    options,
  );
  try {
    readNoContent(response, PATH, api.clock);
    return true;
  } catch (error) {
    if (error instanceof GitLabError && [401, 403, 404].includes(error.status)) return false;
    throw error;
  }
}
