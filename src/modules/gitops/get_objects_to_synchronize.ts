import type { AgentAuthenticator } from '../../auth/agent_authenticator.ts';
import type { AgentMethod } from '../../auth/agent_method.ts';
import { authenticatePersistently } from '../../auth/persistent_authentication.ts';
import { ObjectsToSynchronizeRequestSchema } from '../../gen/gitlab/agent/gitops/rpc/gitops_pb.ts';
import { oneRequest } from '../../grpc/one_request.ts';
import { OK } from '../../grpc/status.ts';
import type { Log } from '../../observability/log.ts';
import { PollLoop } from '../../runtime/poll_loop.ts';
import type { EventBus } from '../../store/event_bus.ts';
import { requireValid } from './request.ts';
import { Synchronization, type SynchronizationDeps } from './synchronization.ts';

/** Gitops/GetObjectsToSynchronize, which agents before 17.0 deploy from: manifests of a project (docs/protocol/gitops.md). */
export function createGetObjectsToSynchronize(
  deps: SynchronizationDeps & {
    readonly agents: AgentAuthenticator;
    readonly events: Pick<EventBus, 'subscribe'>;
    readonly maxNumberOfPaths: number;
    readonly log: Log;
  },
): AgentMethod {
  const base = deps.log.with({
    grpc_service: 'gitlab.agent.gitops.rpc.Gitops',
    grpc_method: 'GetObjectsToSynchronize',
  });
  return {
    path: '/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize',
    async handle(call, token) {
      const request = await oneRequest(call, ObjectsToSynchronizeRequestSchema);
      if (request === undefined) return;
      requireValid(request, deps.maxNumberOfPaths);
      const agent = await authenticatePersistently(deps.agents, token, call);
      if (agent === undefined) {
        call.end(OK);
        return;
      }
      const log = base.with({ project_id: request.projectId, agent_id: agent.id, ...call.trail() });
      const scope = call.session.scope.child();
      const loop = new PollLoop(scope);
      const unsubscribe = deps.events.subscribe(({ project }) => {
        if (project?.fullPath === request.projectId) loop.poke();
      });
      call.onOver(() => scope.close());
      const synchronization = new Synchronization(deps, call, token, request, scope, log);
      const stopWaitingForAge = call.session.onAge(() => {
        if (!synchronization.sending) call.end(OK);
      });
      try {
        await loop.run(() => synchronization.round());
        call.end(OK);
      } catch (error) {
        if (!scope.closed) throw error;
      } finally {
        unsubscribe();
        stopWaitingForAge();
        scope.close();
      }
    },
  };
}
