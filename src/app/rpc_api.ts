import type { RpcListen } from '../config/config.ts';
import { createGrpcServer } from '../grpc/server.ts';
import { type Front, openFront } from '../net/front.ts';
import type { Log } from '../observability/log.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import { logUp } from './front_log.ts';

/** What answers on port 8155: no service yet, so every call is told so. */
export async function openRpcApi(options: {
  readonly listen: RpcListen;
  readonly scope: Scope;
  readonly log: Log;
  readonly random: Random;
}): Promise<Front> {
  const { listen, scope, log, random } = options;
  const grpc = createGrpcServer({ methods: [], compress: true, log });
  const front = await openFront({
    listen,
    handlers: { stream: (stream, headers, _rawHeaders, session) => grpc(stream, headers, session) },
    http2: { maxConnectionAgeMs: listen.maxConnectionAgeMs, limitPings: true },
    scope,
    log,
    random,
  });
  logUp(log, 'Private API', front);
  return front;
}
