import type { StandaloneUser } from '../config/config.ts';
import type { AllowedAgentsForJob } from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { TokenTable } from './token_table.ts';
import type { ProxyUser, UserAuthorizer, UserCredential } from './user_authorizer.ts';

/** Whoever may use all agents may ask for any number, there or not. */
const MAX_AGENTS_REMEMBERED = 1000;

/** Knows the users of the `standalone` section, who come with tokens only: there are neither jobs nor sessions without GitLab. */
export class StandaloneUserAuthorizer implements UserAuthorizer {
  readonly #users: TokenTable<StandaloneUser>;
  /** Answers are the same object each time, because callers remember what they have made of one. */
  readonly #answers = new Map<StandaloneUser, Map<bigint, ProxyUser>>();

  constructor(users: readonly StandaloneUser[]) {
    this.#users = new TokenTable(users.map((user) => [user.tokenSha256, user]));
  }

  peekCiJob(): undefined {
    return undefined;
  }

  ciJob(): Promise<AllowedAgentsForJob> {
    return Promise.reject(new AppError(StatusCode.Unauthenticated, 'CI job tokens need GitLab'));
  }

  peekProxyUser(credential: UserCredential): ProxyUser | undefined {
    const user = this.#find(credential);
    return user instanceof AppError ? undefined : user;
  }

  proxyUser(credential: UserCredential): Promise<ProxyUser> {
    const user = this.#find(credential);
    return user instanceof AppError ? Promise.reject(user) : Promise.resolve(user);
  }

  #find({ agentId, accessType, accessKey }: UserCredential): ProxyUser | AppError {
    if (accessType !== 'personal_access_token') {
      return new AppError(StatusCode.Unauthenticated, 'browser sessions need GitLab');
    }
    const user = this.#users.find(accessKey);
    if (user === undefined) return new AppError(StatusCode.Unauthenticated, 'unauthenticated');
    if (user.agents !== '*' && !user.agents.includes(agentId)) {
      return new AppError(StatusCode.PermissionDenied, 'the user may not use this agent');
    }
    return this.#answer(user, agentId);
  }

  #answer(user: StandaloneUser, agentId: bigint): ProxyUser {
    let byAgent = this.#answers.get(user);
    const known = byAgent?.get(agentId);
    if (known !== undefined) return known;
    const answer = proxyUserOf(user, agentId);
    if (byAgent === undefined) {
      byAgent = new Map();
      this.#answers.set(user, byAgent);
    }
    if (byAgent.size < MAX_AGENTS_REMEMBERED) byAgent.set(agentId, answer);
    return answer;
  }
}

function proxyUserOf({ name, accessAs }: StandaloneUser, agentId: bigint): ProxyUser {
  if (accessAs === 'agent') return { kind: 'standalone', name, impersonation: undefined };
  if (accessAs !== 'user') return { kind: 'standalone', name, impersonation: accessAs.impersonate };
  // The names that GitLab's users get (docs/protocol/kubernetes_api.md), so that a cluster's RBAC rules fit both; projects
  // and groups do not exist here, and the agent is its own configuration project.
  const id = String(agentId);
  return {
    kind: 'standalone',
    name,
    impersonation: {
      username: `gitlab:user:${name}`,
      groups: ['gitlab:user'],
      uid: '',
      extra: [
        { key: 'agent.gitlab.com/id', val: [id] },
        { key: 'agent.gitlab.com/username', val: [name] },
        { key: 'agent.gitlab.com/access_type', val: ['personal_access_token'] },
        { key: 'agent.gitlab.com/config_project_id', val: [id] },
      ],
    },
  };
}
