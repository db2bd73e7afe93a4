import type { AgentMethod } from '../auth/agent_method.ts';
import { createAgentRegistrar } from '../modules/agent_registrar/register.ts';
import { ProjectAccess } from '../modules/flux/project_access.ts';
import { createReconcileProjects } from '../modules/flux/reconcile_projects.ts';
import { createGitLabAccess } from '../modules/gitlab_access/make_request.ts';
import { createConnect, isConnect } from '../modules/reverse_tunnel/connect.ts';
import type { Core } from './core.ts';
import { createGitops } from './gitops.ts';

/** What agents may call. */
export interface AgentMethods {
  readonly methods: readonly AgentMethod[];
  /** For paths that no method has. */
  readonly fallback: (path: string) => AgentMethod | undefined;
}

export function createAgentMethods(core: Core): AgentMethods {
  const { base, config, store, metrics } = core;
  const { gitlab, agents } = core.identities;
  const { clock } = base.scope;
  const { log } = base;
  const usage = core.usage.counters;
  const connect = createConnect({ agents, tunnels: core.tunnels });
  const reconcileProjects = createReconcileProjects({
    agents,
    access: gitlab && new ProjectAccess({ gitlab, clock, errors: store.errorCache, log }),
    events: store.eventBus,
    usage,
    metrics,
    log: log.with({ mod_name: 'flux' }),
  });
  const gitops = createGitops({
    ...base,
    config: config.agent.gitops,
    gitlab,
    gitaly: core.gitaly,
    agents,
    store,
    usage,
    clock,
  });
  const gitLabAccess = createGitLabAccess({ gitlab, log: log.with({ mod_name: 'gitlab_access' }) });
  const registrar = createAgentRegistrar({
    agents,
    directory: store.agentDirectory,
    ttlMs: config.agent.redisConnInfoTtlMs,
    usage,
    clock,
    log,
  });
  return {
    methods: [connect, core.getConfiguration, reconcileProjects, ...gitops, gitLabAccess, ...registrar],
    fallback: (path) => (isConnect(path) ? connect : undefined),
  };
}
