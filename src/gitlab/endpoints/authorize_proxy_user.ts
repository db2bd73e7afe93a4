import { create, toJsonString } from '@bufbuild/protobuf';
import {
  AuthorizeProxyUserRequestSchema,
  type AuthorizeProxyUserResponse,
  AuthorizeProxyUserResponseSchema,
} from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import { readAnswer } from '../answer.ts';
import type { ApiCaller } from '../api_call.ts';
import type { CallOptions, ProxyUserQuestion } from '../client.ts';
import { Validator, type Violations } from '../validation.ts';
import { validateUser } from './user.ts';

const PATH = '/api/v4/internal/kubernetes/authorize_proxy_user';

/** Asks whether a user may use an agent, and as whom. */
export async function authorizeProxyUser(
  api: ApiCaller,
  question: ProxyUserQuestion,
  options: CallOptions,
): Promise<AuthorizeProxyUserResponse> {
  const violations = new Validator('AuthorizeProxyUserRequest')
    .positive('AgentId', question.agentId)
    .notEmpty('AccessKey', question.accessKey).violations;
  if (violations.length > 0) {
    throw new AppError(StatusCode.InvalidArgument, `WithProtoJsonRequestBody: ${violations.join('; ')}`);
  }
  const { agentId, accessType, accessKey, csrfToken } = question;
  const message = create(AuthorizeProxyUserRequestSchema, { agentId, accessType, accessKey, csrfToken });
  const body = Buffer.from(toJsonString(AuthorizeProxyUserRequestSchema, message, { useProtoFieldName: true }));
  const headers = { Accept: 'application/json', 'Content-Type': 'application/json' };
  const response = await api.call({ method: 'POST', path: PATH, headers, body, retry: true, queue: 'people' }, options);
  const expected = { schema: AuthorizeProxyUserResponseSchema, validate, readsReason: true };
  return readAnswer(response, PATH, expected, options.signal, api.clock);
}

function validate(answer: AuthorizeProxyUserResponse): Violations {
  return new Validator('AuthorizeProxyUserResponse')
    .required(
      'Agent',
      answer.agent,
      ({ configProject }) =>
        new Validator('AuthorizedAgentForUser').required('ConfigProject', configProject).violations,
    )
    .required('User', answer.user, validateUser)
    .required(
      'AccessAs',
      answer.accessAs,
      ({ accessAs }) => new Validator('AccessAsProxyAuthorization').required('AccessAs', accessAs.case).violations,
    ).violations;
}
