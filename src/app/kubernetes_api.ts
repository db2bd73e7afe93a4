import type { IncomingMessage, ServerResponse } from 'node:http';
import type { UserAuthorizer } from '../auth/user_authorizer.ts';
import type { KubernetesApiConfig } from '../config/config.ts';
import type { AgentCaller } from '../grpc/call.ts';
import { ProxyHandler, type ProxyHandlerDeps } from '../modules/kubernetes_api/proxy_handler.ts';
import { RequestPreparer, viaOf } from '../modules/kubernetes_api/proxy_request.ts';
import { ResponseHeaderFilter } from '../modules/kubernetes_api/response_headers.ts';
import { statusResponse } from '../modules/kubernetes_api/status_response.ts';
import { type Front, openFront } from '../net/front.ts';
import type { FrontLimits } from '../net/gate.ts';
import type { StreamHandler } from '../net/http2_front.ts';
import { Http2Messages } from '../net/http2_messages.ts';
import type { Bind } from '../net/listen.ts';
import type { Log } from '../observability/log.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Tracer } from '../observability/tracer.ts';
import { identity } from '../runtime/build_info.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Scope } from '../runtime/scope.ts';
import type { UsageCounters } from '../store/usage_counters.ts';
import { logUp } from './front_log.ts';

/** What answers on port 8154: the Kubernetes API of each agent's cluster, over HTTP/1.1 and HTTP/2. */
export async function openKubernetesApi(options: {
  readonly config: KubernetesApiConfig;
  readonly externalUrl: string;
  readonly users: UserAuthorizer;
  readonly agents: AgentCaller;
  readonly usage: UsageCounters;
  readonly bind: Bind | undefined;
  readonly tracer: Tracer | undefined;
  /** Undefined: nothing is counted. */
  readonly metrics: Metrics | undefined;
  readonly scope: Scope;
  readonly log: Log;
  readonly limits: FrontLimits;
  readonly perUser: ProxyHandlerDeps['perUser'];
  readonly random: Random;
}): Promise<Front> {
  const { config, externalUrl, users, agents, usage, metrics, tracer, scope, random } = options;
  const log = options.log.with({ mod_name: 'kubernetes_api' });
  const proxy = new ProxyHandler({
    preparer: new RequestPreparer({ config, externalUrl, serverName: identity, users, clock: scope.clock, log }),
    responses: new ResponseHeaderFilter({
      via: viaOf(identity),
      extraAllowed: config.extraAllowedResponseHeaders,
      log,
    }),
    agents,
    usage,
    tracer,
    prove: (connection) => front.prove(connection),
    records: {
      metrics: metrics && {
        proxy: metrics.proxy,
        http: metrics.httpServer(config.listen.tls === undefined ? 'http' : 'https'),
      },
      log,
      clock: scope.clock,
    },
    perUser: options.perUser,
    scope,
    log,
  });
  const front = await openFront({
    listen: config.listen,
    bind: options.bind,
    handlers: {
      request: (request, response) => proxy.request(request, response),
      shouldUpgrade: (request) => proxy.shouldUpgrade(request),
      upgrade: (request, socket, head, giveBack) => proxy.upgrade(request, socket, head, giveBack),
      stream: (...stream) => overHttp2(proxy, scope.clock, ...stream),
    },
    unknownAlpn: 'ignore',
    overloaded: overloadedAnswer(),
    limits: options.limits,
    scope,
    log,
    random,
  });
  logUp(log, 'Kubernetes API', front);
  return front;
}

/** What kubectl, or the proxy in front, hears where there are too many connections: the bytes of an answer. */
function overloadedAnswer(): string {
  const nobody = {
    accept: undefined,
    userAgent: undefined,
    pretty: undefined,
    allowedOrigin: undefined,
    authorizes: false,
  };
  const message = 'Too many connections, try again later';
  const { headers, body } = statusResponse({ status: 503, message }, nobody, identity);
  let head = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n';
  for (let i = 0; i + 1 < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${head}\r\n${body.toString()}`;
}

/** They do what Node's classes for HTTP/1.1 do, as far as the proxy goes, but have no type in common with them. */
function overHttp2(
  proxy: ProxyHandler,
  clock: Clock,
  ...[stream, headers, rawHeaders, session]: Parameters<StreamHandler>
): void {
  const { request, response } = new Http2Messages(stream, headers, rawHeaders, clock);
  const declared = Number(headers['content-length'] ?? -1);
  proxy.request(request as unknown as IncomingMessage, response as unknown as ServerResponse, {
    bodyLength: request.complete ? 0 : declared,
    session,
  });
}
