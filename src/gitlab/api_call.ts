import type { Readable } from 'node:stream';
import type { GitLabConfig } from '../config/config.ts';
import type { LimiterObserver } from '../observability/limiter_metrics.ts';
import type { Log } from '../observability/log.ts';
import { trailOf } from '../observability/trail.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { CallOptions } from './client.ts';
import { RequestTokens } from './request_token.ts';
import { withRetries } from './retry.ts';
import { type Queue, TokenBucket } from './token_bucket.ts';
import type { HttpResponse, Transport } from './transport.ts';
import { type Query, requestTarget } from './url.ts';

export interface ApiRequest {
  readonly method: string;
  /** Escaped, without the path of `gitlab.address`. */
  readonly path: string;
  readonly query?: Query;
  /** Besides those that every call has. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Buffer | Readable | undefined;
  /** Whether the answer is for somebody else: then it comes as GitLab has it, in an encoding that he asked for, if any. */
  readonly raw?: boolean;
  /** Whether the call is repeated while GitLab is in trouble. */
  readonly retry: boolean;
  /** Who waits for the answer; default: an agent, or nobody. */
  readonly queue?: Queue;
}

export interface ApiCallerDeps {
  readonly config: Pick<GitLabConfig, 'address' | 'authenticationSecret' | 'apiRateLimit'>;
  readonly transport: Transport;
  /** For raw calls: agents may take their time with them, which must not use up the connections of all others. */
  readonly rawTransport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** `gitlab-kas/<version>/<commit>` */
  readonly identity: string;
  /** Hears how long the rate limit has held up each attempt. */
  readonly onRateLimited?: LimiterObserver;
  /** Hears of each call's answer. */
  readonly onAnswer?: (path: string, response: HttpResponse) => void;
}

/** Calls GitLab's API: what all endpoints have in common (docs/protocol/gitlab.md). */
export class ApiCaller {
  readonly clock: Clock;
  readonly #deps: ApiCallerDeps;
  readonly #limiter: TokenBucket;
  readonly #tokens: RequestTokens;

  constructor(deps: ApiCallerDeps) {
    this.clock = deps.clock;
    this.#deps = deps;
    this.#tokens = new RequestTokens(deps.config.authenticationSecret);
    this.#limiter = new TokenBucket(deps.clock, deps.config.apiRateLimit, deps.onRateLimited);
  }

  /** GitLab's answer, whatever its status. Every attempt waits for its turn under the rate limit. */
  async call(request: ApiRequest, options: CallOptions): Promise<HttpResponse> {
    const { clock, log, config } = this.#deps;
    const transport = request.raw ? this.#deps.rawTransport : this.#deps.transport;
    const { signal } = options;
    const span = options.span?.child(`GitLab ${request.method}`, 'client', {
      'http.request.method': request.method,
      'server.address': config.address.host,
      'url.path': request.path,
    });
    const sent = {
      method: request.method,
      target: requestTarget(config.address, request.path, request.query),
      body: request.body,
    };
    const attempt = async () => {
      await this.#limiter.take(signal, request.queue);
      // Headers are made for each attempt: a JWT could run out while waiting for the next.
      return transport.send({ ...sent, headers: this.#headers(request, { ...options, span }) }, signal);
    };
    const startedAtMs = clock.monotonicMs();
    try {
      const response = await (request.retry ? withRetries(attempt, signal, this.#deps) : attempt());
      span?.set({ 'http.response.status_code': response.status });
      this.#deps.onAnswer?.(request.path, response);
      span?.end(response.status < 400 ? undefined : `HTTP status code: ${response.status}`);
      if (log.debugEnabled) {
        log.debug('GitLab call', { ...this.#fields(request, options, startedAtMs), ...responseFields(response) });
      }
      return response;
    } catch (error) {
      span?.end(errorText(error));
      if (log.debugEnabled) {
        log.debug('GitLab call failed', { ...this.#fields(request, options, startedAtMs), error: errorText(error) });
      }
      throw error;
    }
  }

  #headers(request: ApiRequest, { correlationId, span }: CallOptions): Record<string, string | readonly string[]> {
    const { identity, clock } = this.#deps;
    const { body } = request;
    const headers: Record<string, string | readonly string[]> = {
      'User-Agent': identity,
      ...(Buffer.isBuffer(body) && { 'Content-Length': String(body.length) }),
      ...(body !== undefined && !Buffer.isBuffer(body) && { 'Transfer-Encoding': 'chunked' }),
      ...request.headers,
      'Gitlab-Kas-Api-Request': this.#tokens.at(clock.wallMs()),
      ...(span !== undefined && { Traceparent: span.traceparent }),
      ...(correlationId !== undefined && { 'X-Request-Id': correlationId }),
      ...(!request.raw && { 'Accept-Encoding': 'gzip' }),
    };
    for (const [name, value] of Object.entries(headers)) {
      // Tokens come from outside. The text names the header only: the value is a secret.
      if ([value].flat().some((one) => /[^\t\x20-\x7e\x80-\xff]/.test(one))) {
        throw new AppError(StatusCode.InvalidArgument, `invalid header field value for "${name}"`);
      }
    }
    return headers;
  }

  #fields({ method, path }: ApiRequest, { correlationId, span }: CallOptions, startedAtMs: number) {
    const durationMs = Math.round(this.#deps.clock.monotonicMs() - startedAtMs);
    return { ...trailOf(span, correlationId), http_method: method, url_path: path, duration_ms: durationMs };
  }
}

/** GitLab's `X-Request-Id` is the correlation id of its own log lines about the call, be it ours or not. */
function responseFields({ status, headers }: HttpResponse) {
  const id = headers['x-request-id'];
  return { status, gitlab_correlation_id: id };
}
