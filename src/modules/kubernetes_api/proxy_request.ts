import type { UserAuthorizer } from '../../auth/user_authorizer.ts';
import type { KubernetesApiConfig } from '../../config/config.ts';
import type { RequestHead } from '../../http_over_grpc/http_wire.ts';
import type { Log } from '../../observability/log.ts';
import type { CredentialForm } from '../../observability/proxy_metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import {
  type AccessForm,
  type AskingRequest,
  type Decision,
  Gatekeeper,
  type Refusal,
  requestTrail,
} from './authorize.ts';
import { addCorsHeaders, checkOrigin, preflightHeaders } from './cors.ts';
import { parseCredentials } from './credentials.ts';
import { type IncomingHead, readIncomingHead } from './incoming_head.ts';
import { STATUS_MEDIA_TYPES } from './media_type.ts';
import { parseRequestTarget, pathBelow, type RequestTarget } from './request_target.ts';
import type { ResponseRules } from './response_headers.ts';
import { type Answer, type Asker, answer, emptyAnswer, type Failure, statusResponse } from './status_response.ts';
import type { UserLoad } from './user_load.ts';
import { findValues, type ValueLists } from './value_lists.ts';
import { takeWebSocketToken, WebSocketTokens } from './websocket_token.ts';

const FORMS = { ci_job: 'ci', personal_access_token: 'pat', session_cookie: 'cookie' } as const;

/** A request as it came in. */
export interface ProxyRequest extends AskingRequest {
  /** Hears how the asker shows who it is, as soon as that is seen. */
  shows?(credential: CredentialForm): void;
  readonly method: string;
  /** The request target as sent. */
  readonly url: string;
  /** Names and values in turn, as in `IncomingMessage.rawHeaders`. */
  readonly rawHeaders: readonly string[];
  /** Over HTTP/2 the head does not tell whether a body follows. Undefined: it does (HTTP/1). */
  readonly bodyLength?: number;
}

/** A request that may go to an agent, and everything to send there. */
export interface Prepared {
  readonly kind: 'prepared';
  readonly agentId: bigint;
  readonly head: RequestHead;
  readonly rules: ResponseRules;
  readonly asker: Asker;
  readonly accessForm: AccessForm;
  readonly userId: bigint | undefined;
  readonly projectId: bigint | undefined;
  readonly load: UserLoad;
}

export interface RequestPreparerDeps {
  readonly config: Pick<KubernetesApiConfig, 'urlPathPrefix' | 'websocketTokenSecret'>;
  /** GitLab's external URL as configured; empty: no origin is allowed. */
  readonly externalUrl: string;
  /** `gitlab-kas/<version>/<commit>`: what stands in `Server` and `Via`. */
  readonly serverName: string;
  readonly users: UserAuthorizer;
  readonly clock: Clock;
  /** With `mod_name`. */
  readonly log: Log;
}

/** Everything about a proxied request before a byte of it moves: who is asking, may they, and what goes to the agent. */
export class RequestPreparer {
  readonly #deps: RequestPreparerDeps;
  readonly #via: string;
  readonly #gatekeeper: Gatekeeper;
  readonly #tokens: WebSocketTokens | undefined;

  constructor(deps: RequestPreparerDeps) {
    this.#deps = deps;
    this.#via = viaOf(deps.serverName);
    this.#gatekeeper = new Gatekeeper(deps.users, deps.log);
    const secret = deps.config.websocketTokenSecret;
    this.#tokens = secret === undefined ? undefined : new WebSocketTokens(secret, deps.clock);
  }

  /**
   * Takes the steps in the order of docs/protocol/kubernetes_api.md ("Order"). Answers at once, without a promise, unless
   * GitLab has to be asked. Never throws, never rejects.
   */
  prepare(request: ProxyRequest): Prepared | Answer | Promise<Prepared | Answer> {
    const target = parseRequestTarget(request.url);
    if (target === undefined) {
      return answer(400, ['Connection', 'close'], 'text/plain; charset=utf-8', Buffer.from('400 Bad Request'));
    }
    const head = readIncomingHead(request.rawHeaders, this.#via);
    const { log, serverName } = this.#deps;
    const origin = checkOrigin(head.origin, this.#deps.externalUrl);
    if (origin === 'refused') {
      if (log.debugEnabled) {
        log.debug(`Received Origin ${JSON.stringify(head.origin)} is not in configured allowed origins`, {
          ...requestTrail(request),
        });
      }
      return emptyAnswer(403, []);
    }
    if (request.method === 'OPTIONS') {
      const headers = preflightHeaders(head.requestHeaders);
      addCorsHeaders(headers, origin.allowed);
      headers.push('Server', serverName);
      return emptyAnswer(200, headers);
    }
    const asker: Asker = {
      accept: head.accept,
      userAgent: head.userAgent,
      pretty: findValues(target.query, 'pretty')?.[0],
      allowedOrigin: origin.allowed,
      authorizes: head.authorization.length > 0,
      traceId: request.span?.traceId,
    };
    const path = pathBelow(target.path, this.#deps.config.urlPathPrefix);
    if (path === undefined) return this.#wrongPrefix(request, target, asker);
    const known = new KnownRequest(request, head, target, path, asker);
    const decision = this.#decide(known);
    return decision instanceof Promise
      ? decision.then((later) => this.#conclude(known, later))
      : this.#conclude(known, decision);
  }

  /**
   * The answer when an authorized request has failed before its response began.
   * @param step what failed, e.g. `failed to read gRPC response`
   * @param error why
   */
  failure(
    { agentId, asker }: Pick<Prepared, 'agentId' | 'asker'>,
    request: AskingRequest,
    status: number,
    step: string,
    error: string | undefined,
  ): Answer {
    const { log } = this.#deps;
    const what = `HTTP->gRPC: ${step}`;
    if (log.debugEnabled) log.debug(what, { agent_id: agentId, error, ...requestTrail(request) });
    const message = error === undefined ? what : `${what}: ${error}`;
    return this.#status(request, { status, message }, asker);
  }

  /** The answer where this server itself is to blame. */
  defect(request: ProxyRequest): Answer {
    const { accept, userAgent, authorization } = readIncomingHead(request.rawHeaders, this.#via);
    const asker: Asker = {
      accept,
      userAgent,
      pretty: undefined,
      allowedOrigin: undefined,
      authorizes: authorization.length > 0,
      traceId: request.span?.traceId,
    };
    return this.#status(request, { status: 500, message: 'Internal error' }, asker);
  }

  #status(request: AskingRequest, failure: Failure, asker: Asker): Answer {
    const { log, serverName } = this.#deps;
    const response = statusResponse(failure, asker, serverName);
    if (response.status === 406 && log.debugEnabled) {
      const error = `only the following media types are accepted: ${STATUS_MEDIA_TYPES.join(', ')}`;
      log.debug('Failed to negotiate output media type', { error, ...requestTrail(request) });
    }
    return response;
  }

  /** The answer to a request of a user who has enough of them under way. */
  tooMany({ asker }: Prepared, request: AskingRequest): Answer {
    const message = 'Too many requests of this user at a time, try again later';
    return this.#status(request, { status: 429, message }, asker);
  }

  #wrongPrefix(request: ProxyRequest, target: RequestTarget, asker: Asker): Answer {
    const message = 'Bad request: URL does not start with expected prefix';
    const { log, config } = this.#deps;
    if (log.debugEnabled) {
      log.debug(message, {
        url_path: target.path,
        url_path_prefix: config.urlPathPrefix,
        ...requestTrail(request),
      });
    }
    return this.#status(request, { status: 400, message }, asker);
  }

  #decide({ request, head, target, path }: KnownRequest): Decision | Refusal | Promise<Decision | Refusal> {
    const token = takeWebSocketToken(head);
    if (token !== undefined && head.authorization.length === 0) {
      request.shows?.('websocket_token');
      return this.#redeem(token, request, head, path);
    }
    const credentials = parseCredentials(head, target.query);
    if (credentials.kind === 'bad') return this.#unauthorized(request, credentials.error, credentials.logError);
    request.shows?.(FORMS[credentials.kind]);
    return this.#gatekeeper.authorize(credentials, request);
  }

  /** A token opens WebSockets, nothing else; above all it does not bring forth another token. */
  #redeem(token: string, request: ProxyRequest, head: IncomingHead, path: string): Decision | Refusal {
    if (request.method !== 'GET' || !head.isUpgrade)
      return this.#unauthorized(request, 'WebSocket token: not a WebSocket request');
    const decision = this.#tokens?.redeem(token, path) ?? 'invalid';
    if (typeof decision === 'string') return this.#unauthorized(request, `WebSocket token: ${decision}`);
    return { ...decision, load: this.#gatekeeper.loadOf(decision.load.user) };
  }

  #unauthorized(request: AskingRequest, error: string, logError = error): Refusal {
    const { log } = this.#deps;
    if (log.debugEnabled) log.debug('Unauthorized', { error: logError, ...requestTrail(request) });
    return { kind: 'refused', status: 401, message: `Unauthorized: ${error}` };
  }

  #conclude(known: KnownRequest, decision: Decision | Refusal): Prepared | Answer {
    const { request, head, target, path, asker } = known;
    if (decision.kind === 'refused') return this.#status(request, decision, asker);
    if (request.method === 'GET' && target.query.length > 0 && isTokenRequest(target.query)) {
      return this.#issueToken(known, decision);
    }
    const prepared: Prepared = {
      kind: 'prepared',
      agentId: decision.agentId,
      head: {
        method: request.method,
        headers: head.forwarded,
        path,
        query: target.query.length === 0 ? target.query : withoutOurs(target.query),
        extra: decision.extra,
        contentLength: request.bodyLength ?? head.bodyLength,
      },
      rules: { allowedOrigin: asker.allowedOrigin, viaCookie: decision.viaCookie },
      asker,
      accessForm: decision.accessForm,
      userId: decision.userId,
      projectId: decision.projectId,
      load: decision.load,
    };
    if (!head.invalidUtf8 && !target.invalidUtf8) return prepared;
    const error = 'rpc error: code = Internal desc = grpc: error while marshaling: string field contains invalid UTF-8';
    return this.failure(prepared, request, 502, 'failed to send request header', error);
  }

  #issueToken({ request, head, path, asker }: KnownRequest, decision: Decision): Answer {
    const { serverName } = this.#deps;
    if (head.isUpgrade) {
      return this.#status(request, { status: 400, message: 'Bad request: a WebSocket cannot ask for a token' }, asker);
    }
    if (this.#tokens === undefined) {
      const message =
        'Not found: WebSocket tokens need agent.kubernetes_api.websocket_token_secret_file to be configured';
      return this.#status(request, { status: 404, message }, asker);
    }
    const headers = ['Cache-Control', 'no-store', 'Server', serverName, 'X-Content-Type-Options', 'nosniff'];
    addCorsHeaders(headers, asker.allowedOrigin);
    const body = JSON.stringify({ token: this.#tokens.issue(decision, path) });
    return answer(200, headers, 'application/json', Buffer.from(body));
  }
}

/** What this server adds to `Via`, in both directions. */
export function viaOf(serverName: string): string {
  return `gRPC/1.0 ${serverName}`;
}

/** A request of which everything but the asker is known. */
class KnownRequest {
  readonly request: ProxyRequest;
  readonly head: IncomingHead;
  readonly target: RequestTarget;
  readonly path: string;
  readonly asker: Asker;

  constructor(request: ProxyRequest, head: IncomingHead, target: RequestTarget, path: string, asker: Asker) {
    this.request = request;
    this.head = head;
    this.target = target;
    this.path = path;
    this.asker = asker;
  }
}

function isTokenRequest(query: ValueLists): boolean {
  return findValues(query, 'kas-websocket-token-request')?.[0] === 'true';
}

/** The query without the parameters that are meant for this server. */
function withoutOurs(query: ValueLists): ValueLists {
  const isOurs = ([name]: ValueLists[number]) => name === 'gitlab-agent-id' || name === 'gitlab-csrf-token';
  return query.some(isOurs) ? query.filter((pair) => !isOurs(pair)) : query;
}
