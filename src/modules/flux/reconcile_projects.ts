import { create, toBinary } from '@bufbuild/protobuf';
import type { AgentAuthenticator, AgentInfo } from '../../auth/agent_authenticator.ts';
import type { AgentMethod } from '../../auth/agent_method.ts';
import { authenticatePersistently } from '../../auth/persistent_authentication.ts';
import type { Project } from '../../gen/gitlab/agent/event/event_pb.ts';
import {
  type ReconcileProjectsRequest,
  ReconcileProjectsRequestSchema,
  ReconcileProjectsResponseSchema,
} from '../../gen/gitlab/agent/flux/rpc/flux_pb.ts';
import { Validator } from '../../gitlab/validation.ts';
import { oneRequest } from '../../grpc/one_request.ts';
import type { ServerCall } from '../../grpc/server_call.ts';
import { OK } from '../../grpc/status.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { AppError } from '../../runtime/app_error.ts';
import { StatusCode } from '../../runtime/status_code.ts';
import type { EventBus } from '../../store/event_bus.ts';
import type { UsageCounters } from '../../store/usage_counters.ts';
import type { ProjectAccess } from './project_access.ts';
import { PushQueue } from './push_queue.ts';

interface FluxDeps {
  readonly agents: AgentAuthenticator;
  /** Undefined without GitLab, which alone tells of pushes. */
  readonly access: Pick<ProjectAccess, 'mayRead'> | undefined;
  readonly events: Pick<EventBus, 'subscribe'>;
  readonly usage: Pick<UsageCounters, 'increment' | 'addUnique'>;
  readonly metrics: {
    readonly fluxNotifications: { inc(): void };
    readonly fluxDroppedNotifications: { inc(): void };
  };
  readonly log: Log;
}

/** GitLabFlux/ReconcileProjects: tells an agent of pushes to the projects that it names (docs/protocol/flux.md). */
export function createReconcileProjects(deps: FluxDeps): AgentMethod {
  const log = deps.log.with({
    grpc_service: 'gitlab.agent.flux.rpc.GitLabFlux',
    grpc_method: 'ReconcileProjects',
  });
  return {
    path: '/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects',
    async handle(call, token) {
      const { access } = deps;
      if (access === undefined) {
        throw new AppError(StatusCode.Unimplemented, 'this server has no GitLab that could tell of pushes');
      }
      const request = await oneRequest(call, ReconcileProjectsRequestSchema);
      if (request === undefined) return;
      requireIds(request);
      const agent = await authenticatePersistently(deps.agents, token, call);
      if (agent === undefined) call.end(OK);
      else tellOfPushes({ ...deps, access, log }, call, token, agent, new Set(request.project.map(({ id }) => id)));
    },
  };
}

function requireIds({ project }: ReconcileProjectsRequest): void {
  const { violations } = new Validator('ReconcileProjectsRequest').each(
    'Project',
    project,
    ({ id }) => new Validator('Project').notEmpty('Id', id).violations,
  );
  if (violations.length > 0) throw new AppError(StatusCode.InvalidArgument, violations.join('; '));
}

/** Until the call is over, or its connection so old that the agent should get another. */
function tellOfPushes(
  deps: FluxDeps & { readonly access: Pick<ProjectAccess, 'mayRead'> },
  call: ServerCall,
  token: string,
  agent: AgentInfo,
  projects: ReadonlySet<string>,
): void {
  const { access, usage, metrics, log } = deps;
  const scope = call.session.scope.child();
  const asking = call.onBehalf(scope.signal);
  const queue = new PushQueue({
    async handle({ id, fullPath }: Project) {
      if (!(await access.mayRead(token, fullPath, asking)) || call.over) return;
      metrics.fluxNotifications.inc();
      usage.increment('flux_git_push_notifications_total');
      usage.addUnique('flux_git_push_notified_unique_projects', id);
      const response = create(ReconcileProjectsResponseSchema, { project: { id: fullPath } });
      if (!call.write(toBinary(ReconcileProjectsResponseSchema, response))) await drained(call);
    },
    onDropped({ fullPath }) {
      metrics.fluxDroppedNotifications.inc();
      log.debug('Dropping Git push event', { agent_id: agent.id, project_id: fullPath });
    },
    onFailed({ fullPath }, error) {
      if (scope.closed) return;
      log.error(`Failed to check if project ${fullPath} is accessible by agent`, {
        agent_id: agent.id,
        error,
        hint: Hint.gitlab,
        ...call.trail(),
      });
    },
  });
  log.debug('Started reconcile projects ...', { agent_id: agent.id });
  const unsubscribe = deps.events.subscribe(({ project }) => {
    if (project !== undefined && projects.has(project.fullPath)) queue.add(project);
  });
  call.deadlineStatus = OK;
  const stopWaitingForAge = call.session.onAge(() => call.end(OK));
  call.onOver(() => {
    stopWaitingForAge();
    unsubscribe();
    queue.clear();
    scope.close();
    log.debug('Stopped reconcile projects ...', { agent_id: agent.id });
  });
}

/** Never, if the call ends before: whoever waits is then forgotten with it. */
function drained(call: ServerCall): Promise<void> {
  return new Promise((resolve) => call.onDrain(resolve));
}
