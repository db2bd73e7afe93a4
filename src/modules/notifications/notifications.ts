import type { ConnectRouter } from '@connectrpc/connect';
import type { GitPushEvent, Project } from '../../gen/gitlab/agent/event/event_pb.ts';
import { Notifications } from '../../gen/gitlab/agent/notifications/rpc/notifications_pb.ts';
import { Validator, type Violations } from '../../gitlab/validation.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { callTrail } from '../../rpc/traced_calls.ts';
import { requireValid } from '../../rpc/valid_request.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { EventBus } from '../../store/event_bus.ts';

/**
 * Notifications: GitLab tells of every push. It is answered at once, because somebody waits for his push to end meanwhile;
 * that the news could not be passed on is for the log to tell (docs/protocol/internal_api.md, pushes).
 */
export function createNotifications(deps: {
  readonly events: Pick<EventBus, 'publish'>;
  readonly log: Log;
}): (router: ConnectRouter) => void {
  const { events, log } = deps;
  return (router) =>
    router.service(Notifications, {
      gitPushEvent({ event }, context) {
        requireValid(new Validator('GitPushEventRequest').required('Event', event, eventViolations).violations);
        if (event !== undefined) {
          events.publish(event).catch((error: unknown) =>
            log.error('Failed to publish received git push event', {
              grpc_service: Notifications.typeName,
              grpc_method: 'GitPushEvent',
              project_id: event.project?.fullPath,
              error: errorText(error),
              hint: `${Hint.store}; agents learn of the push at their next poll`,
              ...callTrail(context.values),
            }),
          );
        }
        return {};
      },
    });
}

function eventViolations({ project }: GitPushEvent): Violations {
  return new Validator('GitPushEvent').required('Project', project, projectViolations).violations;
}

function projectViolations({ id, fullPath }: Project): Violations {
  return new Validator('Project').positive('Id', id).notEmpty('FullPath', fullPath).violations;
}
