import { type GetProjectInfoResponse, GetProjectInfoResponseSchema } from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { agentTokenHeaders } from '../agent_token_headers.ts';
import { readAnswer } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions } from '../client.ts';
import { validateGitalyInfo, validateGitalyRepository } from '../gitaly_validation.ts';
import { Validator, type Violations } from '../validation.ts';

const PATH = '/api/v4/internal/kubernetes/project_info';

/** Asks where a project's repository is, for an agent that may read it (docs/protocol/gitops.md). Never repeated. */
export async function projectInfo(
  api: ApiCaller,
  agentToken: string,
  projectPath: string,
  options: CallOptions,
): Promise<GetProjectInfoResponse> {
  const headers = { Accept: 'application/json', ...agentTokenHeaders(PATH, agentToken) };
  const response = await api.call(
    { method: 'GET', path: PATH, query: { id: projectPath }, headers, retry: false },
    options,
  );
  return readAnswer(response, PATH, { schema: GetProjectInfoResponseSchema, validate }, options.signal, api.clock);
}

function validate(answer: GetProjectInfoResponse): Violations {
  return new Validator('GetProjectInfoResponse')
    .positive('ProjectId', answer.projectId)
    .required('GitalyInfo', answer.gitalyInfo, validateGitalyInfo)
    .required('GitalyRepository', answer.gitalyRepository, validateGitalyRepository)
    .notEmpty('DefaultBranch', answer.defaultBranch).violations;
}
