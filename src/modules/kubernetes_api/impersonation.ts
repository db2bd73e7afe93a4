import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack } from '@bufbuild/protobuf/wkt';
import type { Impersonation } from '../../config/config.ts';
import type {
  AllowedAgent,
  AllowedAgentsForJob,
  AuthorizeProxyUserResponse,
} from '../../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { HeaderExtraSchema } from '../../gen/gitlab/agent/kubernetes_api/rpc/kubernetes_api_pb.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/**
 * Whom a CI job acts as in the cluster: undefined means as the agent itself.
 * @throws AppError when the answer names an identity that this server does not know; never falls back to the agent's own
 */
export function jobIdentity(answer: AllowedAgentsForJob, agent: AllowedAgent): Impersonation | undefined {
  const accessAs = agent.configuration?.accessAs;
  if (accessAs === undefined) return undefined;
  switch (accessAs.as.case) {
    case 'agent':
      return undefined;
    case 'impersonate': {
      const { username, groups, uid, extra } = accessAs.as.value;
      return { username, groups, uid, extra };
    }
    case 'ciJob':
      return ciJobIdentity(answer, agent);
    default:
      throw unknownIdentity();
  }
}

function ciJobIdentity(answer: AllowedAgentsForJob, agent: AllowedAgent): Impersonation {
  const { environment } = answer;
  const job = required(answer.job);
  const project = required(answer.project);
  const groups = ['gitlab:ci_job'];
  for (const group of project.groups) {
    groups.push(`gitlab:group:${group.id}`);
    if (environment !== undefined) groups.push(`gitlab:group_env_tier:${group.id}:${environment.tier}`);
  }
  groups.push(`gitlab:project:${project.id}`);
  const extra = [
    extraValue('id', agent.id),
    extraValue('config_project_id', required(agent.configProject).id),
    extraValue('project_id', project.id),
    extraValue('ci_pipeline_id', required(answer.pipeline).id),
    extraValue('ci_job_id', job.id),
    extraValue('username', required(answer.user).username),
  ];
  if (environment !== undefined) {
    groups.push(`gitlab:project_env:${project.id}:${environment.slug}`);
    groups.push(`gitlab:project_env_tier:${project.id}:${environment.tier}`);
    extra.push(extraValue('environment_slug', environment.slug), extraValue('environment_tier', environment.tier));
  }
  return { username: `gitlab:ci_job:${job.id}`, groups, uid: '', extra };
}

/**
 * Whom a user acts as in the cluster: undefined means as the agent itself.
 * @throws AppError when the answer names an identity that this server does not know; never falls back to the agent's own
 */
export function userIdentity(
  answer: AuthorizeProxyUserResponse,
  accessType: 'session_cookie' | 'personal_access_token',
): Impersonation | undefined {
  const accessAs = required(answer.accessAs).accessAs;
  if (accessAs.case === 'agent') return undefined;
  if (accessAs.case !== 'user') throw unknownIdentity();
  const user = required(answer.user);
  const agent = required(answer.agent);
  const groups = ['gitlab:user'];
  for (const project of accessAs.value.projects) {
    for (const role of project.roles) groups.push(`gitlab:project_role:${project.id}:${role}`);
  }
  for (const group of accessAs.value.groups) {
    for (const role of group.roles) groups.push(`gitlab:group_role:${group.id}:${role}`);
  }
  return {
    username: `gitlab:user:${user.username}`,
    groups,
    uid: '',
    extra: [
      extraValue('id', agent.id),
      extraValue('username', user.username),
      extraValue('access_type', accessType),
      extraValue('config_project_id', required(agent.configProject).id),
    ],
  };
}

/**
 * The serialized google.protobuf.Any for `HttpRequest.Header.extra`, or undefined when the agent's own identity is used.
 * @throws AppError for an identity without a user name: agentk would take an empty one for "no impersonation"
 */
export function encodeHeaderExtra(identity: Impersonation | undefined): Uint8Array | undefined {
  if (identity === undefined) return undefined;
  if (identity.username === '') throw new AppError(StatusCode.Internal, 'identity to impersonate has no user name');
  const extra = create(HeaderExtraSchema, {
    impConfig: {
      username: identity.username,
      groups: [...identity.groups],
      uid: identity.uid,
      extra: identity.extra.map(({ key, val }) => ({ key, val: [...val] })),
    },
  });
  return toBinary(AnySchema, anyPack(HeaderExtraSchema, extra));
}

function extraValue(key: string, value: bigint | string): Impersonation['extra'][number] {
  return { key: `agent.gitlab.com/${key}`, val: [String(value)] };
}

function required<T>(part: T | undefined): T {
  if (part === undefined) throw new AppError(StatusCode.Internal, 'answer about the identity to use is incomplete');
  return part;
}

function unknownIdentity(): AppError {
  return new AppError(StatusCode.Internal, 'answer names an unknown identity to use');
}
