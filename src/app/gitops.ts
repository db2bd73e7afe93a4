import type { AgentAuthenticator } from '../auth/agent_authenticator.ts';
import type { AgentMethod } from '../auth/agent_method.ts';
import type { GitopsConfig } from '../config/config.ts';
import type { GitalyClient } from '../gitaly/client.ts';
import type { GitLabClient } from '../gitlab/client.ts';
import { createGetObjectsToSynchronize } from '../modules/gitops/get_objects_to_synchronize.ts';
import { ProjectInfos } from '../modules/gitops/project_info.ts';
import type { Log } from '../observability/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Store } from '../store/store.ts';
import type { UsageCounters } from '../store/usage_counters.ts';

/** What agents before 17.0 deploy from, where the configuration asks for it and there is a GitLab; no methods otherwise. */
export function createGitops(options: {
  readonly config: GitopsConfig | undefined;
  readonly gitlab: GitLabClient | undefined;
  readonly gitaly: GitalyClient;
  readonly agents: AgentAuthenticator;
  readonly store: Pick<Store, 'errorCache' | 'eventBus'>;
  readonly usage: UsageCounters;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}): AgentMethod[] {
  const { config, gitlab, store, clock } = options;
  if (config === undefined || gitlab === undefined) return [];
  const log = options.log.with({ mod_name: 'gitops' });
  const projects = new ProjectInfos({
    gitlab,
    ttlMs: config.projectInfoCacheTtlMs,
    errorTtlMs: config.projectInfoCacheErrorTtlMs,
    clock,
    errors: store.errorCache,
    log,
  });
  const { pollPeriodMs, maxNumberOfPaths } = config;
  return [
    createGetObjectsToSynchronize({
      ...options,
      projects,
      events: store.eventBus,
      limits: config,
      pollPeriodMs,
      maxNumberOfPaths,
      log,
    }),
  ];
}
