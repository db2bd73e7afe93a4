import type { AllowedAgentsForJob } from '../gen/gitlab/agent/gitlab/api/api_pb.ts';
import type { CallOptions, GitLabClient } from '../gitlab/client.ts';
import type { Log } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ErrorCache } from '../store/error_cache.ts';
import { LookupCache } from './lookup_cache.ts';
import type { ProxyUser, UserAuthorizer, UserCredential } from './user_authorizer.ts';

type Asking = Pick<GitLabClient, 'allowedAgents' | 'authorizeProxyUser'>;

/** Asks GitLab what a CI job or a user may do (docs/protocol/gitlab.md). */
export class GitLabUserAuthorizer implements UserAuthorizer {
  readonly #gitlab: Asking;
  readonly #jobs: LookupCache<AllowedAgentsForJob>;
  readonly #users: LookupCache<ProxyUser>;

  constructor(deps: {
    readonly gitlab: Asking;
    readonly allowedAgentCacheTtlMs: number;
    readonly allowedAgentCacheErrorTtlMs: number;
    readonly clock: Clock;
    readonly errors: ErrorCache;
    readonly log: Log;
  }) {
    this.#gitlab = deps.gitlab;
    const times = { ttlMs: deps.allowedAgentCacheTtlMs, errorTtlMs: deps.allowedAgentCacheErrorTtlMs };
    this.#jobs = new LookupCache({ errorKind: 'allowed_agents_errs', ...times }, deps);
    this.#users = new LookupCache({ errorKind: 'auth_proxy_user_errs', ...times }, deps);
  }

  peekCiJob(_agentId: bigint, jobToken: string): AllowedAgentsForJob | undefined {
    return this.#jobs.peek(jobToken);
  }

  ciJob(_agentId: bigint, jobToken: string, options: CallOptions): Promise<AllowedAgentsForJob> {
    return this.#jobs.get(
      {
        key: jobToken,
        ask: (asking) => this.#gitlab.allowedAgents(jobToken, { ...options, signal: asking }),
      },
      options.signal,
    );
  }

  peekProxyUser(credential: UserCredential): ProxyUser | undefined {
    return this.#users.peek(keyOf(credential));
  }

  proxyUser(credential: UserCredential, options: CallOptions): Promise<ProxyUser> {
    return this.#users.get(
      {
        key: keyOf(credential),
        ask: async (asking) => ({
          kind: 'gitlab',
          response: await this.#gitlab.authorizeProxyUser(credential, { ...options, signal: asking }),
        }),
      },
      options.signal,
    );
  }
}

/** The length keeps credentials apart whose parts, put together, look the same. */
function keyOf({ agentId, accessType, accessKey, csrfToken }: UserCredential): string {
  return `${agentId}:${accessType}:${accessKey.length}:${accessKey}${csrfToken}`;
}
