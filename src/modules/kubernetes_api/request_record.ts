import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ExchangeCounts } from '../../http_over_grpc/http_exchange.ts';
import type { HttpServerMetrics } from '../../observability/http_server_metrics.ts';
import type { Fields, Log } from '../../observability/log.ts';
import type { CredentialForm, ProxyMetrics, ProxyResult } from '../../observability/proxy_metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import { headerOf } from './header_of.ts';

export interface RecordDeps {
  /** Undefined: nothing is counted. */
  readonly metrics: { readonly proxy: ProxyMetrics; readonly http: HttpServerMetrics } | undefined;
  readonly log: Log;
  readonly clock: Clock;
}

/** Listeners find the record by this: one function for all requests, rather than one for each. */
const recorded = Symbol('record');
type Recorded = { [recorded]?: RequestRecord };

/** Whether anybody wants to know what has become of requests. */
export function wantsRecords({ metrics, log }: RecordDeps): boolean {
  return metrics !== undefined || log.debugEnabled;
}

/** What there is to tell of one request: for the metrics when it is over, and for its line in the log (docs/protocol/logs.md). */
export class RequestRecord implements ExchangeCounts {
  bytesIn = 0;
  bytesOut = 0;
  credential: CredentialForm = 'none';
  agentId: bigint | undefined;
  /** Which way the request has taken; undefined as long as it has none. */
  way: string | undefined;
  readonly #deps: RecordDeps;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #asking: { trail(): Fields };
  readonly #startedMs: number;
  /** When the cluster's answer began. */
  #answeredMs: number | undefined;
  /** The answer's status; 0: none yet. */
  #status = 0;
  #result: ProxyResult | undefined;
  #over = false;

  /**
   * @param socket of an upgrade request, which may outlive its response
   * @param asking.trail what all log lines about the request have
   */
  constructor(
    deps: RecordDeps,
    request: IncomingMessage,
    response: ServerResponse,
    socket: Duplex | undefined,
    asking: { trail(): Fields },
  ) {
    this.#deps = deps;
    this.#request = request;
    this.#response = response;
    this.#asking = asking;
    this.#startedMs = deps.clock.monotonicMs();
    (response as Recorded)[recorded] = this;
    response.on('close', RequestRecord.#onEnd);
    if (socket !== undefined) {
      response.on('finish', RequestRecord.#onEnd);
      (socket as Recorded)[recorded] = this;
      socket.on('close', RequestRecord.#onEnd);
    }
  }

  /** The cluster's answer begins. */
  answering(status: number): void {
    this.#status = status;
    this.#answeredMs = this.#deps.clock.monotonicMs();
    if (status === 101) this.#result = 'upgraded';
  }

  /** The request has not come as far as to an agent: this server answers. */
  answeredHere(status: number): void {
    this.#status = status;
    this.#result = resultOf(status);
  }

  /** Nothing came back from the agent that could be an answer. */
  failed(status: number): void {
    this.#status = status;
    if (status === 503) this.#result = 'overloaded';
    else this.#result = this.way === undefined ? 'no_tunnel' : 'failed';
  }

  /** What came back stopped in the middle. */
  cutOff(): void {
    this.#result = 'cut_off';
  }

  static #onEnd = function (this: Recorded): void {
    const record = this[recorded];
    if (record !== undefined) record.#ended();
  };

  #ended(): void {
    if (this.#over) return;
    this.#over = true;
    const { metrics, log, clock } = this.#deps;
    const result = this.#result ?? (this.#response.writableFinished ? 'answered' : 'client_gone');
    const durationMs = clock.monotonicMs() - this.#startedMs;
    if (metrics !== undefined) this.#count(metrics, result, durationMs);
    if (log.debugEnabled) this.#write(log, result, durationMs);
  }

  #count({ proxy, http }: NonNullable<RecordDeps['metrics']>, result: ProxyResult, durationMs: number): void {
    const { method = '', httpVersion, rawHeaders } = this.#request;
    proxy.requests[result][this.credential].inc();
    proxy.bytesFromClients.add(this.bytesIn);
    proxy.bytesToClients.add(this.bytesOut);
    if (this.#answeredMs !== undefined) proxy.timeToFirstByte.observe((this.#answeredMs - this.#startedMs) / 1000);
    http.served(
      method,
      httpVersion,
      this.#status,
      headerOf(rawHeaders, httpVersion === '2.0' ? ':authority' : 'host') ?? '',
      this.bytesIn,
      this.bytesOut,
      durationMs,
    );
  }

  #write(log: Log, result: ProxyResult, durationMs: number): void {
    log.debug('Proxied request', {
      agent_id: this.agentId,
      http_method: this.#request.method,
      url_path: pathOf(this.#request.url),
      credential: this.credential,
      result,
      status: this.#status || undefined,
      route: this.way,
      bytes_in: this.bytesIn,
      bytes_out: this.bytesOut,
      time_to_first_byte_ms: this.#answeredMs && Math.round(this.#answeredMs - this.#startedMs),
      duration_ms: Math.round(durationMs),
      ...this.#asking.trail(),
    });
  }
}

function resultOf(status: number): ProxyResult {
  if (status < 400) return 'answered_here';
  if (status === 429 || status === 503) return 'overloaded';
  if (status < 500) return 'refused';
  return status === 500 ? 'not_authorized' : 'failed';
}

/** Without the query: tokens may stand there. */
function pathOf(target = ''): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}
