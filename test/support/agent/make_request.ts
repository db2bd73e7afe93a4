import { errorText } from '../../../src/runtime/app_error.ts';
import type { Scope } from '../../../src/runtime/scope.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { Automaton, END_OF_STREAM, HTTP_RULES } from './automaton.ts';
import type { Exchange, ExchangeEvents } from './exchange.ts';
import { responseHeaderMap } from './go_headers.ts';
import type { ResponseHead } from './http_response_parser.ts';
import type { KubeClient } from './kube_client.ts';
import {
  HTTP_MESSAGE,
  type HttpRequestHeader,
  httpData,
  httpResponseHeader,
  readData,
  readHttpRequestHeader,
  readOneof,
} from './messages.ts';
import { type OutboundRequest, outboundRequest } from './outbound_request.ts';
import { RequestBody } from './request_body.ts';
import type { RpcStatus } from './rpc.ts';
import { Unpacker } from './unpacker.ts';

export const MAKE_REQUEST = '/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest';
const CHUNK = 32 * 1024;
const CONTINUE_TIMEOUT_MS = 1000;
const PROBE_TIMEOUT_MS = 200;
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

/** One `KubernetesApi/MakeRequest` call: HTTP over gRPC on one side, the API server on the other (docs/protocol/agent.md). */
export class MakeRequest implements ExchangeEvents {
  readonly #context: MakeRequestContext;
  readonly #sink: MakeRequestSink;
  readonly #automaton = new Automaton(HTTP_RULES);
  readonly #requestBody: RequestBody;
  #request: OutboundRequest | undefined;
  #exchange: Exchange | undefined;
  #statusCode = 0;
  #unpacker: Unpacker | undefined;
  #requestsEnded = false;
  #responseEnded = false;
  /** What was wrong with the request messages; it becomes the status after the response. */
  #requestError: RpcStatus | undefined;
  #over = false;

  constructor(context: MakeRequestContext, sink: MakeRequestSink) {
    this.#context = context;
    this.#sink = sink;
    this.#requestBody = new RequestBody(() => this.#exchange, sink);
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
    if (!this.#request?.upgrade) this.#requestBody.end();
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
      if (this.#request?.upgrade) this.#requestBody.end();
    } else this.#upgradeData(readData(body));
  }

  #start(header: HttpRequestHeader): void {
    const { kube, scope, userAgent, log } = this.#context;
    let request: OutboundRequest;
    try {
      request = outboundRequest(header, kube, userAgent);
    } catch (error) {
      this.#finish(unavailable(errorText(error)));
      return;
    }
    log(`Handling ${request.method} ${request.target}`);
    const { method, upgrade } = request;
    this.#request = request;
    const begin = (chunked: boolean): void => {
      if (this.#over) return;
      try {
        this.#exchange = kube.start({ method, head: request.head(chunked), chunked, upgrade }, this);
      } catch (error) {
        this.#finish(unavailable(errorText(error)));
      }
    };
    if (!request.hasBody) begin(false);
    else if (request.usuallyBodyless)
      this.#requestBody.hold(scope, PROBE_TIMEOUT_MS, 'until data', (empty) => begin(!empty));
    else {
      begin(true);
      if (request.expectsContinue) this.#requestBody.hold(scope, CONTINUE_TIMEOUT_MS, 'until continue', () => {});
    }
  }

  #body(chunk: Buffer): void {
    if (!this.#request?.hasBody) {
      this.#badRequest({ code: StatusCode.Internal, message: 'unexpected HttpRequest_Data message received' });
      return;
    }
    this.#requestBody.write(chunk);
  }

  #upgradeData(chunk: Buffer): void {
    if (!this.#request?.upgrade) {
      this.#badRequest({
        code: StatusCode.Internal,
        message: 'unexpected HttpRequest_UpgradeData message for non-upgrade request',
      });
    } else if (this.#statusCode !== 101 && this.#statusCode !== 0) {
      const message = `unexpected HttpRequest_UpgradeData message for HTTP status code ${this.#statusCode}`;
      this.#badRequest({ code: StatusCode.Internal, message });
    } else if (this.#exchange?.write(chunk) === false) this.#sink.pauseRequests();
  }

  // --- the API server's side

  proceed(): void {
    this.#requestBody.release();
  }

  head(head: ResponseHead): void {
    this.#statusCode = head.statusCode;
    const chunked = head.headers.some(([name]) => name.toLowerCase() === 'transfer-encoding');
    const headers = responseHeaderMap(head.headers, chunked);
    if (this.#request?.askForGzip && headers.get('Content-Encoding')?.[0]?.toLowerCase() === 'gzip') {
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
    if (this.#request?.upgrade && head.statusCode === 101) this.#sink.send(HTTP_MESSAGE.trailer, EMPTY);
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
    const field = this.#request?.upgrade && this.#statusCode === 101 ? HTTP_MESSAGE.upgradeData : HTTP_MESSAGE.data;
    for (let at = 0; at < chunk.length; at += CHUNK) this.#sink.send(field, httpData(chunk.subarray(at, at + CHUNK)));
  }

  #unpacked(error: Error | undefined): void {
    if (error === undefined) this.#responseComplete();
    else this.error(`gzip: ${errorText(error)}`);
  }

  #responseComplete(): void {
    this.#responseEnded = true;
    if (!(this.#request?.upgrade && this.#statusCode === 101)) this.#sink.send(HTTP_MESSAGE.trailer, EMPTY);
    this.#finishIfComplete();
  }

  // --- the end

  #badRequest(status: RpcStatus): void {
    this.#requestError = status;
    // With a response under way the error waits for it. A request that is not whole never gets one.
    const whole = this.#exchange !== undefined && (!this.#request?.hasBody || this.#requestBody.ended);
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
