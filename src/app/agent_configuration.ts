import process from 'node:process';
import type { AgentAuthenticator } from '../auth/agent_authenticator.ts';
import type { AgentMethod } from '../auth/agent_method.ts';
import type { Config } from '../config/config.ts';
import type { GitalyClient } from '../gitaly/client.ts';
import { createGitalyClient } from '../gitaly/create_client.ts';
import type { GitLabClient } from '../gitlab/client.ts';
import {
  createGetConfiguration,
  createStandaloneGetConfiguration,
} from '../modules/agent_configuration/get_configuration.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import { identity } from '../runtime/build_info.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { Store } from '../store/store.ts';

/** Where agents' configuration comes from: the repositories that GitLab names, or nowhere without GitLab. */
export function createAgentConfiguration(options: {
  readonly config: Config;
  readonly store: Pick<Store, 'agentDirectory' | 'eventBus'>;
  readonly gitlab: GitLabClient | undefined;
  readonly agents: AgentAuthenticator;
  readonly metrics: Metrics;
  readonly scope: Scope;
  readonly log: Log;
  /** Of the connections to Gitaly; undefined: nobody is told of them. */
  readonly grpcLog: Log | undefined;
  readonly random: Random;
}): { readonly gitaly: GitalyClient; readonly getConfiguration: AgentMethod } {
  const { config, store, gitlab, agents, metrics, scope, log, grpcLog, random } = options;
  const { clock } = scope;
  const gitaly = scope.own(
    createGitalyClient({ config: config.gitaly, clock, identity, env: process.env, metrics, grpcLog }),
  );
  const externalUrl = config.gitlab?.externalUrl ?? '';
  if (gitlab === undefined) {
    return { gitaly, getConfiguration: createStandaloneGetConfiguration({ agents, externalUrl }) };
  }
  const getConfiguration = createGetConfiguration({
    agents,
    gitlab,
    gitaly,
    externalUrl,
    events: store.eventBus,
    directory: store.agentDirectory,
    ttlMs: config.agent.redisConnInfoTtlMs,
    pollPeriodMs: config.agent.configuration.pollPeriodMs,
    maxFileBytes: config.agent.configuration.maxConfigurationFileSize,
    clock,
    random,
    scope,
    log,
  });
  return { gitaly, getConfiguration };
}
