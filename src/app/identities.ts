import process from 'node:process';
import type { AgentAuthenticator } from '../auth/agent_authenticator.ts';
import { GitLabAgentAuthenticator } from '../auth/gitlab_agent_authenticator.ts';
import { GitLabUserAuthorizer } from '../auth/gitlab_user_authorizer.ts';
import { AnswerSeal } from '../auth/sealed_answer.ts';
import { StandaloneAgentAuthenticator } from '../auth/standalone_agent_authenticator.ts';
import { StandaloneUserAuthorizer } from '../auth/standalone_user_authorizer.ts';
import type { UserAuthorizer } from '../auth/user_authorizer.ts';
import type { Config } from '../config/config.ts';
import type { GitLabClient } from '../gitlab/client.ts';
import { createGitLabClient } from '../gitlab/create_client.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { identity } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Store } from '../store/store.ts';
import { onSecretTrouble } from './gitlab_trouble.ts';
import type { Readiness } from './readiness.ts';

/** Who says who agents and users are: GitLab, or the configuration file's `standalone` section. */
export interface Identities {
  /** Undefined: the server stands alone. */
  readonly gitlab: GitLabClient | undefined;
  readonly agents: AgentAuthenticator;
  readonly users: UserAuthorizer;
  /** This node leaves: the nodes that its agents go to are to know what it knows. Never rejects. */
  handOver(): Promise<void>;
}

export function createIdentities(options: {
  readonly config: Config;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly scope: Scope;
  readonly log: Log;
  readonly random: Random;
}): Identities {
  const { config, store, metrics, readiness, scope, log, random } = options;
  if (config.gitlab === undefined) {
    const { agents, users } = config.standalone ?? { agents: [], users: [] };
    return {
      gitlab: undefined,
      agents: new StandaloneAgentAuthenticator(agents),
      users: new StandaloneUserAuthorizer(users),
      handOver: () => Promise.resolve(), // others have the same section
    };
  }
  const { clock } = scope;
  const nodes = config.privateApi;
  const { refillRatePerSecond } = config.gitlab.apiRateLimit;
  const onRateLimited = metrics.observeLimiter('gitlab_client', '{refill/s}', refillRatePerSecond);
  const { env } = process;
  const gitlab = createGitLabClient({
    config: config.gitlab,
    ...{ clock, random, log, identity, env, onRateLimited },
    onSecretTrouble: onSecretTrouble(readiness, metrics),
  });
  scope.own(gitlab);
  const shared = { gitlab, clock, errors: store.errorCache, log };
  const agents = new GitLabAgentAuthenticator({
    ...shared,
    infoCacheTtlMs: config.agent.infoCacheTtlMs,
    infoCacheErrorTtlMs: config.agent.infoCacheErrorTtlMs,
    seal: config.redis && nodes && new AnswerSeal(nodes.listen.authenticationSecret, 'agent_info', { clock, random }),
  });
  return {
    gitlab,
    agents,
    handOver: () => agents.handOver(),
    users: new GitLabUserAuthorizer({
      ...shared,
      allowedAgentCacheTtlMs: config.agent.kubernetesApi?.allowedAgentCacheTtlMs ?? 0,
      allowedAgentCacheErrorTtlMs: config.agent.kubernetesApi?.allowedAgentCacheErrorTtlMs ?? 0,
    }),
  };
}
