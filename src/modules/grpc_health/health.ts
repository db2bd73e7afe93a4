import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { Health, HealthCheckResponse_ServingStatus as Status } from '../../gen/grpc/health/v1/health_pb.ts';
import { onConnectionAge } from '../../rpc/connection.ts';
import { AppError } from '../../runtime/app_error.ts';
import type { Scope } from '../../runtime/scope.ts';
import { StatusCode } from '../../runtime/status_code.ts';

/** How often it is looked whether those who watch must be told something. */
const WATCH_EVERY_MS = 1000;

/** The standard health service: the server as a whole, and each service by its name. */
export function createHealth(deps: {
  readonly ready: () => boolean;
  /** Full names. */
  readonly services: readonly string[];
  readonly scope: Scope;
}): (router: ConnectRouter) => void {
  const known = new Set(['', ...deps.services]);
  const statusOf = (service: string) => {
    if (!known.has(service)) return Status.SERVICE_UNKNOWN;
    return deps.ready() ? Status.SERVING : Status.NOT_SERVING;
  };

  return (router) =>
    router.service(Health, {
      check({ service }) {
        const status = statusOf(service);
        if (status === Status.SERVICE_UNKNOWN) throw new AppError(StatusCode.NotFound, 'unknown service');
        return { status };
      },
      async *watch({ service }, context) {
        const scope = scopeOf(context, deps.scope);
        let told: Status | undefined;
        do {
          const status = statusOf(service);
          if (status !== told) yield { status };
          told = status;
        } while (await scope.sleep(WATCH_EVERY_MS));
      },
    });
}

/** Ends with the call, with its connection's age, and with the server. */
function scopeOf({ signal, values }: HandlerContext, parent: Scope): Scope {
  const scope = parent.child();
  const end = () => scope.close();
  const forget = values.get(onConnectionAge)(end);
  scope.own({ close: forget });
  if (signal.aborted) end();
  else signal.addEventListener('abort', end, { once: true });
  return scope;
}
