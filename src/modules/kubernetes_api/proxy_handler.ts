import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { AgentCaller, CallContext } from '../../grpc/call.ts';
import {
  type ExchangeCounts,
  type ExchangePolicy,
  HttpExchange,
  type UpgradeSocket,
} from '../../http_over_grpc/http_exchange.ts';
import type { ResponseHead } from '../../http_over_grpc/http_wire.ts';
import { createUpgradeResponse } from '../../net/upgrade_response.ts';
import { newCorrelationId, REQUEST_ID_HEADER, validCorrelationId } from '../../observability/correlation_id.ts';
import { Hint } from '../../observability/hints.ts';
import type { LimitHit } from '../../observability/limits.ts';
import type { Fields, Log } from '../../observability/log.ts';
import type { CredentialForm } from '../../observability/proxy_metrics.ts';
import type { Span, Tracer } from '../../observability/tracer.ts';
import { trailOf } from '../../observability/trail.ts';
import { MAKE_REQUEST } from '../../routing/agent_methods.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { UsageCounters } from '../../store/usage_counters.ts';
import { headerOf } from './header_of.ts';
import type { Prepared, ProxyRequest, RequestPreparer } from './proxy_request.ts';
import { type RecordDeps, RequestRecord, wantsRecords } from './request_record.ts';
import type { ResponseHeaderFilter, ResponseHeaders } from './response_headers.ts';
import type { Answer } from './status_response.ts';
import { countUsage } from './usage.ts';
import type { UserLoad } from './user_load.ts';

export interface ProxyHandlerDeps {
  readonly preparer: RequestPreparer;
  readonly responses: ResponseHeaderFilter;
  readonly agents: AgentCaller;
  readonly usage: UsageCounters;
  readonly tracer: Tracer | undefined;
  /** Somebody is known on a connection of HTTP/1.1. */
  readonly prove: (connection: Duplex) => void;
  readonly records: RecordDeps;
  /** Requests of one user at a time. */
  readonly perUser: { readonly max: number; readonly exceeded: LimitHit };
  readonly scope: Scope;
  readonly log: Log;
}

/** What a request over HTTP/2 has that its classes do not tell. */
export interface OverHttp2 {
  /** -1 for a body of unknown length, 0 for none. */
  readonly bodyLength: number;
  readonly session: { prove(): void };
}

/** The Kubernetes API proxy: takes requests, finds out who asks, carries them to the agent (docs/protocol/kubernetes_api.md). */
export class ProxyHandler {
  readonly #deps: ProxyHandlerDeps;

  constructor(deps: ProxyHandlerDeps) {
    this.#deps = deps;
  }

  request(request: IncomingMessage, response: ServerResponse, over?: OverHttp2): void {
    this.#handle(request, response, undefined, over);
  }

  /** A body and an upgrade do not go together: such a request is an ordinary one. */
  shouldUpgrade(request: IncomingMessage): boolean {
    const { headers } = request;
    return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, giveBack: (socket: Duplex) => void): void {
    const { response, detach } = createUpgradeResponse(request, socket, head, giveBack);
    const { scope } = this.#deps;
    const timeout = scope.timeout.bind(scope);
    const wallMs = () => scope.clock.wallMs();
    this.#handle(request, response, { socket, head, detach, timeout, wallMs });
  }

  #handle(request: IncomingMessage, response: ServerResponse, upgrade?: UpgradeSocket, over?: OverHttp2): void {
    response.on('error', ignore); // 'close' follows
    const { preparer, records, scope, tracer } = this.#deps;
    const asking = new ClientRequest(request, response, scope, over);
    if (tracer !== undefined) asking.span = startSpan(tracer, request, response, upgrade);
    if (wantsRecords(records)) {
      asking.record = new RequestRecord(records, request, response, upgrade?.socket, asking);
    }
    const defect = (error: unknown) => this.#defect(request, response, asking, error);
    try {
      const prepared = preparer.prepare(asking);
      if (prepared instanceof Promise) {
        prepared
          .then((later) => {
            if (!response.destroyed) this.#go(request, response, asking, later, upgrade);
          })
          .catch(defect);
      } else this.#go(request, response, asking, prepared, upgrade);
    } catch (error) {
      defect(error);
    }
  }

  /** Whoever waits for this answer must not wait for ever; the text is for the log only. */
  #defect(request: IncomingMessage, response: ServerResponse, asking: ClientRequest, error: unknown): void {
    this.#deps.log.error('Defect in serving a request', {
      error: errorText(error),
      hint: Hint.defect,
      ...asking.trail(),
    });
    if (response.headersSent) {
      asking.record?.cutOff();
      response.destroy();
    } else answerHere(request, response, asking, this.#deps.preparer.defect(asking));
  }

  #go(
    request: IncomingMessage,
    response: ServerResponse,
    asking: ClientRequest,
    prepared: Prepared | Answer,
    upgrade?: UpgradeSocket,
  ): void {
    if (prepared.kind === 'answer') {
      answerHere(request, response, asking, prepared);
      return;
    }
    if (asking.record !== undefined) asking.record.agentId = prepared.agentId;
    const { preparer, responses, agents, usage, prove, perUser } = this.#deps;
    const { load } = prepared;
    if (load.requests >= perUser.max) {
      perUser.exceeded();
      answerHere(request, response, asking, preparer.tooMany(prepared, asking));
      return;
    }
    load.requests++;
    if (upgrade !== undefined) whenUpgradeOver(response, upgrade.socket, () => load.requests--);
    if (asking.session === undefined) prove(request.socket);
    else asking.session.prove();
    countUsage(usage, prepared);
    asking.span?.set({ agent_id: Number(prepared.agentId) });
    const policy = new ProxyPolicy(
      prepared,
      preparer,
      responses,
      request,
      asking,
      upgrade === undefined ? load : undefined,
    );
    const exchange = new HttpExchange(request, response, policy, upgrade);
    try {
      exchange.start(agents, prepared.agentId, MAKE_REQUEST, prepared.head, asking);
    } catch (error) {
      policy.closed();
      throw error;
    }
  }
}

class ClientRequest implements ProxyRequest, CallContext {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly bodyLength?: number;
  span: Span | undefined;
  /** Undefined if nobody wants to know. */
  record: RequestRecord | undefined;
  readonly #response: ServerResponse;
  readonly #scope: Scope;
  readonly session: OverHttp2['session'] | undefined;
  #correlationId: string | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, scope: Scope, over: OverHttp2 | undefined) {
    this.method = request.method ?? '';
    this.url = request.url ?? '';
    this.rawHeaders = request.rawHeaders;
    if (over !== undefined) this.bodyLength = over.bodyLength;
    this.session = over?.session;
    this.#response = response;
    this.#scope = scope;
  }

  signal(): AbortSignal {
    const asking = this.#scope.child();
    this.#response.on('close', () => asking.close());
    return asking.signal;
  }

  shows(credential: CredentialForm): void {
    if (this.record !== undefined) this.record.credential = credential;
  }

  routed(way: string): void {
    if (this.record !== undefined) this.record.way = way;
  }

  trail(): Fields {
    return trailOf(this.span, this.correlationId());
  }

  correlationId(): string {
    this.#correlationId ??= validCorrelationId(headerOf(this.rawHeaders, REQUEST_ID_HEADER)) ?? newCorrelationId();
    return this.#correlationId;
  }
}

class ProxyPolicy implements ExchangePolicy {
  readonly #prepared: Prepared;
  readonly #preparer: RequestPreparer;
  readonly #responses: ResponseHeaderFilter;
  readonly #request: IncomingMessage;
  readonly #asking: ClientRequest;
  #load: UserLoad | undefined;

  constructor(
    prepared: Prepared,
    preparer: RequestPreparer,
    responses: ResponseHeaderFilter,
    request: IncomingMessage,
    asking: ClientRequest,
    load: UserLoad | undefined,
  ) {
    this.#load = load;
    this.#prepared = prepared;
    this.#preparer = preparer;
    this.#responses = responses;
    this.#request = request;
    this.#asking = asking;
  }

  get counts(): ExchangeCounts | undefined {
    return this.#asking.record;
  }

  cutOff(): void {
    this.#asking.record?.cutOff();
  }

  responseHeaders(head: ResponseHead): ResponseHeaders {
    this.#asking.record?.answering(head.status);
    return this.#responses.apply(head.status, head.headers, this.#prepared.rules);
  }

  closed(): void {
    // Deno tells it twice of some.
    if (this.#load !== undefined) this.#load.requests--;
    this.#load = undefined;
  }

  fail(response: ServerResponse, httpStatus: 500 | 502 | 503, step: string, error?: string): void {
    this.#asking.record?.failed(httpStatus);
    answer(this.#request, response, this.#preparer.failure(this.#prepared, this.#asking, httpStatus, step, error));
  }
}

/** An upgrade is over with its connection, or, if it was refused, with its answer, after which the connection may serve on. */
function whenUpgradeOver(response: ServerResponse, socket: Duplex, f: () => void): void {
  const over = () => {
    response.off('finish', over);
    socket.off('close', over);
    f();
  };
  response.on('finish', over);
  socket.on('close', over);
}

/** The request goes no further than to this server. */
function answerHere(request: IncomingMessage, response: ServerResponse, asking: ClientRequest, given: Answer): void {
  asking.record?.answeredHere(given.status);
  answer(request, response, given);
}

function answer(request: IncomingMessage, response: ServerResponse, { status, headers, body }: Answer): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, headers);
  response.end(request.method === 'HEAD' ? undefined : body);
  request.resume(); // a body that nobody reads would keep the connection from its next request
}

/** The span of a request: a trace of its own, since anybody may ask here, that refers to the client's if it has one. */
function startSpan(
  tracer: Tracer,
  request: IncomingMessage,
  response: ServerResponse,
  upgrade: UpgradeSocket | undefined,
): Span {
  const linked = headerOf(request.rawHeaders, 'traceparent');
  const span = tracer.start('k8s-proxy', 'server', { linked }, { 'http.request.method': request.method ?? '' });
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    // A connection that was upgraded has no response any more.
    const status = response.headersSent ? response.statusCode : upgrade && 101;
    if (status !== undefined) span.set({ 'http.response.status_code': status });
    span.end(status === undefined ? 'the client has gone' : undefined);
  };
  response.once('close', end);
  upgrade?.socket.once('close', end);
  return span;
}

function ignore(): void {}
