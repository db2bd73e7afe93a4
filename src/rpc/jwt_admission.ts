import type { HandlerContext } from '@connectrpc/connect';
import { bearerToken } from '../auth/bearer_token.ts';
import { type JwtRequirements, verifyJwt } from '../auth/jwt.ts';
import type { Log } from '../observability/log.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { proveConnection } from './connection.ts';
import { callTrail } from './traced_calls.ts';

/** Says whether a call may be made, before its request is read; throws AppError if not. */
export type Admission = (call: Pick<HandlerContext, 'service' | 'method' | 'requestHeader' | 'values'>) => void;

/**
 * Lets in whoever shows a JWT (docs/protocol/internal_api.md, authentication).
 * @param options.open full names of services that anybody may call
 */
export function createJwtAdmission(options: {
  readonly required: JwtRequirements;
  readonly open: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Log;
}): Admission {
  const { required, open, clock, log } = options;
  return ({ service, method, requestHeader, values }) => {
    if (open.has(service.typeName)) return;
    const token = bearerToken(requestHeader.get('authorization') ?? undefined);
    try {
      verifyJwt(token, required, clock.wallMs());
      values.get(proveConnection)();
    } catch (error) {
      if (log.debugEnabled && error instanceof AppError) {
        const call = { grpc_service: service.typeName, grpc_method: method.name };
        log.debug(error.message, { ...call, error: errorText(error.cause), ...callTrail(values) });
      }
      throw error;
    }
  };
}
