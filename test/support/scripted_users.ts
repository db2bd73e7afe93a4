import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import type { ProxyUser, UserAuthorizer, UserCredential } from '../../src/auth/user_authorizer.ts';
import {
  type AllowedAgentsForJob,
  AllowedAgentsForJobSchema,
  AuthorizeProxyUserResponseSchema,
} from '../../src/gen/gitlab/agent/gitlab/api/api_pb.ts';
import { GitLabError } from '../../src/gitlab/gitlab_error.ts';
import { AppError } from '../../src/runtime/app_error.ts';
import { StatusCode } from '../../src/runtime/status_code.ts';

const JOB_PATH = '/api/v4/job/allowed_agents';
const USER_PATH = '/api/v4/internal/kubernetes/authorize_proxy_user';

/** The users of the recorded traffic (test/vectors/README.md), without a GitLab: who they are follows from their tokens. */
export class ScriptedUsers implements UserAuthorizer {
  /** What was asked, in order: `ci <agent>`, or the access key. */
  readonly asked: string[] = [];
  readonly #jobs = new Map<string, AllowedAgentsForJob>();
  readonly #users = new Map<string, ProxyUser>();

  peekCiJob(_agentId: bigint, jobToken: string): AllowedAgentsForJob | undefined {
    return this.#jobs.get(jobToken);
  }

  async ciJob(agentId: bigint, jobToken: string): Promise<AllowedAgentsForJob> {
    this.asked.push(`ci ${agentId}`);
    const status = forcedStatus(jobToken);
    if (status !== undefined) throw new GitLabError(status, JOB_PATH);
    if (!jobToken.startsWith('job-')) throw new GitLabError(401, JOB_PATH);
    // The real client finds this out when it validates the answer.
    if (jobToken === 'job-odd') throw new AppError(StatusCode.Internal, ODD);
    const answer = fromJson(AllowedAgentsForJobSchema, jobAnswer(jobToken), { ignoreUnknownFields: true });
    this.#jobs.set(jobToken, answer);
    return answer;
  }

  peekProxyUser(credential: UserCredential): ProxyUser | undefined {
    return this.#users.get(keyOf(credential));
  }

  async proxyUser(credential: UserCredential): Promise<ProxyUser> {
    this.asked.push(credential.accessKey);
    const status = forcedStatus(credential.accessKey);
    if (status !== undefined) throw new GitLabError(status, USER_PATH, 'forced');
    if (!isKnown(credential)) throw new GitLabError(401, USER_PATH, 'Unauthorized');
    const response = fromJson(AuthorizeProxyUserResponseSchema, userAnswer(credential));
    const user: ProxyUser = { kind: 'gitlab', response };
    this.#users.set(keyOf(credential), user);
    return user;
  }
}

const ODD =
  'ValidateAll: invalid AllowedAgentsForJob.AllowedAgents[0]: embedded message failed validation | caused by: ' +
  'invalid AllowedAgent.Configuration: embedded message failed validation | caused by: ' +
  'invalid Configuration.AccessAs: embedded message failed validation | caused by: invalid CiAccessAsCF.As: value is required';

function forcedStatus(token: string): number | undefined {
  const match = /^st-(\d{3})-/.exec(token);
  return match === null ? undefined : Number(match[1]);
}

function keyOf({ agentId, accessType, accessKey, csrfToken }: UserCredential): string {
  return JSON.stringify([String(agentId), accessType, accessKey, csrfToken]);
}

function isKnown({ accessType, accessKey, csrfToken }: UserCredential): boolean {
  if (accessType === 'personal_access_token') return accessKey === 'good-pat' || accessKey === 'user-pat';
  return accessKey === 'a+b c' || (accessKey === 'good-cookie' && csrfToken === 'good-csrf');
}

function jobAnswer(token: string): JsonValue {
  const impersonate = { username: 'imp', groups: ['g1'], uid: 'u1', extra: [{ key: 'k', val: ['v'] }] };
  let accessAs: JsonValue = { agent: {} };
  if (token === 'job-ci' || token === 'job-noenv') accessAs = { ci_job: {} };
  if (token === 'job-imp') accessAs = { impersonate };
  const isSmall = token === 'job-noenv';
  return {
    allowed_agents: Array.from({ length: isSmall ? 1 : 20 }, (_, i) => ({
      id: i + 1,
      config_project: { id: 1001 + i },
      configuration: { access_as: accessAs },
    })),
    job: { id: 77 },
    pipeline: { id: 66 },
    project: { id: 55, groups: isSmall ? [{ id: 44 }] : [{ id: 44 }, { id: 33 }] },
    user: { id: 22, username: 'alice' },
    ...(isSmall ? {} : { environment: { slug: 'prod', tier: 'production' } }),
  };
}

function userAnswer({ agentId, accessKey }: UserCredential): JsonValue {
  const roles = { projects: [{ id: 5, roles: ['developer'] }], groups: [{ id: 6, roles: ['maintainer'] }] };
  return {
    agent: { id: String(agentId), config_project: { id: String(1000n + agentId) } },
    user: { id: 22, username: 'alice' },
    access_as: accessKey === 'user-pat' ? { user: roles } : { agent: {} },
  };
}
