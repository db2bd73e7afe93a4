import { errorText } from '../../../src/runtime/app_error.ts';
import type { Scope } from '../../../src/runtime/scope.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { Automaton, END_OF_STREAM, HTTP_RULES } from './automaton.ts';
import { responseHeaderMap, writeRequestHead } from './go_headers.ts';
import { encodePath, encodeQuery } from './go_url.ts';
import type { ResponseHead } from './http_response_parser.ts';
import { addImpersonation, isSet, NESTED_IMPERSONATION, requestImpersonates } from './impersonation.ts';
import type { Exchange, ExchangeEvents, KubeClient } from './kube_client.ts';
import {
  HTTP_MESSAGE,
  type HttpRequestHeader,
  httpData,
  httpResponseHeader,
  type ImpersonationConfig,
  readData,
  readHttpRequestHeader,
  readImpersonation,
  readOneof,
} from './messages.ts';
import type { RpcStatus } from './rpc.ts';
import { Unpacker } from './unpacker.ts';

export const MAKE_REQUEST = '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';
const HEADER_EXTRA = 'type.googleapis.com/gitlab.agent.kubernetes_api.rpc.HeaderExtra';
const CHUNK = 32 * 1024;
const CONTINUE_TIMEOUT_MS = 1000;
const PROBE_TIMEOUT_MS = 200;
/** Go waits a moment to see whether the body of such a request is empty before it announces one. */
const USUALLY_BODYLESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PROPFIND', 'SEARCH']);
const OK: RpcStatus = { code: StatusCode.OK, message: '' };
const EMPTY: Buffer = Buffer.alloc(0);

export interface MakeRequestSink {
  /** One HttpResponse whose member `field` is `body`. */
  send(field: number, body: Buffer): void;
  /** Once, last. */
  end(status: RpcStatus): void;
  /** Stop or go on with HttpRequest messages. */
  pauseRequests(): void;
  resumeRequests(): void;
}

export interface MakeRequestContext {
  readonly kube: KubeClient;
  readonly scope: Scope;
  /** `gitlab-agent/<version>/<commit>` */
  readonly userAgent: string;
  readonly log: (line: string) => void;
}

/** One `KubernetesApi/MakeRequest` call: HTTP over gRPC on one side, the API server on the other (docs/protocol/http_over_grpc.md). */
export class MakeRequest implements ExchangeEvents {
  readonly #context: MakeRequestContext;
  readonly #sink: MakeRequestSink;
  readonly #automaton = new Automaton(HTTP_RULES);
  #exchange: Exchange | undefined;
  #upgrade = false;
  #bodyAllowed = false;
  #statusCode = 0;
  #unpacker: Unpacker | undefined;
  #askedForGzip = false;
  /** Body chunks that wait until the request may go on; undefined once it may. */
  #held: Buffer[] | undefined;
  #release: (() => void) | undefined;
  #bodyEnded = false;
  #requestsEnded = false;
  #responseEnded = false;
  /** What was wrong with the request messages; it becomes the status after the response. */
  #requestError: RpcStatus | undefined;
  #over = false;

  constructor(context: MakeRequestContext, sink: MakeRequestSink) {
    this.#context = context;
    this.#sink = sink;
  }

  /** One HttpRequest message. */
  message(payload: Buffer): void {
    if (this.#over || this.#requestError !== undefined) return;
    try {
      const { field, body } = readOneof(payload, 4);
      if (field === 0)
        this.#badRequest({
          code: StatusCode.InvalidArgument,
          message: 'invalid HttpRequest.Message: value is required',
        });
      else this.#requestMessage(field, body);
    } catch (error) {
      this.#finish({ code: StatusCode.Internal, message: `grpc: error unmarshalling request: ${errorText(error)}` });
    }
  }

  /** kas has half-closed the call. */
  halfClose(): void {
    if (this.#over || this.#requestsEnded || this.#requestError !== undefined) return;
    const violation = this.#automaton.next(END_OF_STREAM);
    if (violation !== undefined) {
      this.#badRequest(violation);
      return;
    }
    this.#requestsEnded = true;
    if (!this.#upgrade) this.#endBody();
    this.#finishIfComplete();
  }

  /** The caller has gone. */
  abort(): void {
    this.#over = true;
    this.#exchange?.abort();
    this.#unpacker?.destroy();
  }

  /** The way to kas is full: stop reading from the cluster. */
  pauseResponse(): void {
    this.#exchange?.pause();
  }

  resumeResponse(): void {
    this.#exchange?.resume();
  }

  #requestMessage(field: number, body: Buffer): void {
    const violation = this.#automaton.next(field);
    if (violation !== undefined) {
      this.#badRequest(violation);
      return;
    }
    if (field === HTTP_MESSAGE.header) this.#start(readHttpRequestHeader(body));
    else if (field === HTTP_MESSAGE.data) this.#body(readData(body));
    else if (field === HTTP_MESSAGE.trailer) {
      if (this.#upgrade) this.#endBody();
    } else this.#upgradeData(readData(body));
  }

  #start(request: HttpRequestHeader): void {
    const { kube, userAgent, log } = this.#context;
    const query = encodeQuery(request.query);
    const target = encodePath(request.urlPath) + (query === '' ? '' : `?${query}`);
    log(`Handling ${request.method} ${target}`);
    const failure = this.#impersonate(request);
    if (failure !== undefined) {
      this.#finish(unavailable(failure));
      return;
    }
    const { header: headers, method } = request;
    this.#upgrade = headers.has('Upgrade');
    this.#bodyAllowed = request.contentLength !== 0;
    headers.set('Via', [...(headers.get('Via') ?? []), `gRPC/1.0 ${userAgent}`]);
    const authorization = kube.cluster.authorization?.();
    if (authorization !== undefined && !headers.get('Authorization')?.[0])
      headers.set('Authorization', [authorization]);
    this.#askedForGzip =
      !this.#upgrade && method !== 'HEAD' && !headers.get('Accept-Encoding')?.[0] && !headers.get('Range')?.[0];
    const begin = (chunked: boolean): void => {
      const framing = chunked
        ? 'chunked'
        : method === 'POST' || method === 'PUT' || method === 'PATCH'
          ? 'zero'
          : 'none';
      try {
        const head = writeRequestHead({
          method,
          target,
          host: kube.url.host,
          headers,
          framing,
          askForGzip: this.#askedForGzip,
        });
        this.#exchange = kube.start({ method, head, chunked, upgrade: this.#upgrade }, this);
      } catch (error) {
        this.#finish(unavailable(errorText(error)));
      }
    };
    if (!this.#bodyAllowed) {
      begin(false);
      return;
    }
    if (USUALLY_BODYLESS.has(method))
      this.#hold(PROBE_TIMEOUT_MS, () => begin(!(this.#bodyEnded && this.#held?.length === 0)));
    else {
      begin(true);
      if (headers.get('Expect')?.[0]?.toLowerCase() === '100-continue') this.#hold(CONTINUE_TIMEOUT_MS, () => {});
    }
  }

  /** @returns what forbids the request */
  #impersonate(request: HttpRequestHeader): string | undefined {
    let fromKas: ImpersonationConfig | undefined;
    if (request.extra !== undefined) {
      if (request.extra.typeUrl !== HEADER_EXTRA) return `unexpected extra type ${request.extra.typeUrl}`;
      fromKas = readImpersonation(request.extra.value);
    }
    const own = this.#context.kube.cluster.impersonate;
    const sources = [isSet(own), isSet(fromKas), requestImpersonates(request.header)];
    if (sources.filter(Boolean).length > 1) return NESTED_IMPERSONATION;
    if (isSet(fromKas)) addImpersonation(request.header, fromKas);
    else if (isSet(own)) addImpersonation(request.header, own);
    return undefined;
  }

  #body(chunk: Buffer): void {
    if (!this.#bodyAllowed) {
      this.#badRequest({ code: StatusCode.Internal, message: 'unexpected HttpRequest_Data message received' });
      return;
    }
    if (chunk.length === 0) return;
    if (this.#held !== undefined) {
      this.#held.push(chunk);
      if (this.#exchange === undefined) this.#release?.();
      else this.#sink.pauseRequests();
    } else if (this.#exchange?.write(chunk) === false) this.#sink.pauseRequests();
  }

  #upgradeData(chunk: Buffer): void {
    if (!this.#upgrade) {
      this.#badRequest({
        code: StatusCode.Internal,
        message: 'unexpected HttpRequest_UpgradeData message for non-upgrade request',
      });
    } else if (this.#statusCode !== 101 && this.#statusCode !== 0) {
      const message = `unexpected HttpRequest_UpgradeData message for HTTP status code ${this.#statusCode}`;
      this.#badRequest({ code: StatusCode.Internal, message });
    } else if (this.#exchange?.write(chunk) === false) this.#sink.pauseRequests();
  }

  #endBody(): void {
    if (this.#bodyEnded) return;
    this.#bodyEnded = true;
    if (this.#held === undefined) this.#exchange?.endBody();
    else if (this.#exchange === undefined) this.#release?.();
  }

  /** Keeps the body back until `proceed` or for `ms` at most, then calls `f`. */
  #hold(ms: number, f: () => void): void {
    this.#held = [];
    const timer = this.#context.scope.timeout(ms, () => this.#release?.());
    this.#release = () => {
      this.#release = undefined;
      timer.stop();
      f();
      const held = this.#held ?? [];
      this.#held = undefined;
      for (const chunk of held) this.#exchange?.write(chunk);
      if (this.#bodyEnded) this.#exchange?.endBody();
      this.#sink.resumeRequests();
    };
  }

  // --- the API server's side

  proceed(): void {
    this.#release?.();
  }

  head(head: ResponseHead): void {
    this.#statusCode = head.statusCode;
    const chunked = head.headers.some(([name]) => name.toLowerCase() === 'transfer-encoding');
    const headers = responseHeaderMap(head.headers, chunked);
    if (this.#askedForGzip && headers.get('Content-Encoding')?.[0]?.toLowerCase() === 'gzip') {
      headers.delete('Content-Encoding');
      headers.delete('Content-Length');
      this.#unpacker = new Unpacker(
        (chunk) => this.#sendData(chunk),
        (error) => this.#unpacked(error),
        this.#exchange!,
      );
    }
    headers.set('Via', [...(headers.get('Via') ?? []), `${head.version} ${this.#context.userAgent}`]);
    this.#sink.send(HTTP_MESSAGE.header, httpResponseHeader(head.statusCode, head.status, headers));
    if (this.#upgrade && head.statusCode === 101) this.#sink.send(HTTP_MESSAGE.trailer, EMPTY);
  }

  data(chunk: Buffer): void {
    if (this.#unpacker !== undefined) this.#unpacker.write(chunk);
    else this.#sendData(chunk);
  }

  end(): void {
    if (this.#unpacker !== undefined) this.#unpacker.end();
    else this.#responseComplete();
  }

  error(text: string): void {
    if (this.#statusCode === 0) this.#finish(unavailable(text));
    else if (this.#statusCode === 101) this.#finish(canceled('read upgrade response body', text));
    else this.#finish(canceled('read HTTP response body', text));
  }

  drain(): void {
    this.#sink.resumeRequests();
  }

  #sendData(chunk: Buffer): void {
    const field = this.#upgrade && this.#statusCode === 101 ? HTTP_MESSAGE.upgradeData : HTTP_MESSAGE.data;
    for (let at = 0; at < chunk.length; at += CHUNK) this.#sink.send(field, httpData(chunk.subarray(at, at + CHUNK)));
  }

  #unpacked(error: Error | undefined): void {
    if (error === undefined) this.#responseComplete();
    else this.error(`gzip: ${errorText(error)}`);
  }

  #responseComplete(): void {
    this.#responseEnded = true;
    if (!(this.#upgrade && this.#statusCode === 101)) this.#sink.send(HTTP_MESSAGE.trailer, EMPTY);
    this.#finishIfComplete();
  }

  // --- the end

  #badRequest(status: RpcStatus): void {
    this.#requestError = status;
    // With a response under way the error waits for it. A request that is not whole never gets one.
    const whole = this.#exchange !== undefined && (!this.#bodyAllowed || this.#bodyEnded);
    if (this.#responseEnded || !whole) this.#finish(status);
  }

  #finishIfComplete(): void {
    if (!this.#responseEnded) return;
    if (this.#requestError !== undefined) this.#finish(this.#requestError);
    else if (this.#requestsEnded) this.#finish(OK);
  }

  #finish(status: RpcStatus): void {
    if (this.#over) return;
    this.abort();
    this.#sink.end(status);
  }
}

function unavailable(text: string): RpcStatus {
  return { code: StatusCode.Unavailable, message: `gRPC -> HTTP: ${text}` };
}

function canceled(what: string, text: string): RpcStatus {
  return { code: StatusCode.Canceled, message: `gRPC -> HTTP: ${what}: ${text}` };
}
