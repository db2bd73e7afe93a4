import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { RateLimit } from '../config/config.ts';
import type { GitalyInfo } from '../gen/gitlab/agent/entity/entity_pb.ts';
import { TokenBucket } from '../gitlab/token_bucket.ts';
import { type CallOutcome, readAnswers } from '../grpc/client_call.ts';
import { ErrorCode } from '../http2/error_code.ts';
import type { LimiterObserver } from '../observability/limiter_metrics.ts';
import type { Metrics } from '../observability/metrics.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { parseGitalyAddress } from './address.ts';
import { CallFailure, failureOf } from './call_failure.ts';
import { callHeaders } from './call_headers.ts';
import { Channel } from './channel.ts';
import type { GitalyCallOptions } from './client.ts';
import { type Connection, type ConnectionDeps, UnreachableError } from './connection.ts';
import { Endpoints, type Lookup } from './endpoints.ts';

/** A Gitaly that accepts a call and never answers must not hold its caller for ever. */
const DEFAULT_TIMEOUT_MS = 60_000;
const DEADLINE_EXCEEDED = { code: StatusCode.DeadlineExceeded, message: 'context deadline exceeded' };
/** Channels unused for longer are forgotten: tokens and addresses change. */
const FORGET_CHANNEL_MS = 60 * 60_000;

/** Where calls are counted, and what the rate limits do to them. */
export type GitalyMetrics = Pick<Metrics, 'grpc' | 'observeLimiter'>;

export interface PoolDeps extends ConnectionDeps {
  readonly limits: { readonly globalApiRateLimit: RateLimit; readonly perServerApiRateLimit: RateLimit };
  readonly userAgent: string;
  readonly metrics?: GitalyMetrics | undefined;
  /** How names are resolved; default the system's way. */
  readonly lookup?: Lookup | undefined;
}

/** Calls Gitalys, on one channel for each address and token (docs/protocol/gitaly.md). */
export class Pool {
  readonly #deps: PoolDeps;
  readonly #global: TokenBucket;
  readonly #channels = new Map<string, Channel>();

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    const { globalApiRateLimit } = deps.limits;
    this.#global = new TokenBucket(deps.clock, globalApiRateLimit, this.#observe('global', globalApiRateLimit));
  }

  /**
   * Makes one call and hands its answers to `receive` until that returns true; the rest is then not asked for.
   * @throws CallFailure, or AppError InvalidArgument, or the signal's reason
   */
  async read<I extends DescMessage, O extends DescMessage>(
    gitaly: GitalyInfo,
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    receive: (answer: MessageShape<O>) => boolean,
    options: GitalyCallOptions,
  ): Promise<void> {
    const name = `${method.parent.typeName}/${method.name}`;
    const span = options.span?.child(name, 'client', { 'rpc.method': name, 'server.address': gitaly.address });
    const metrics = this.#deps.metrics?.grpc.client(`/${name}`, 'server_stream');
    const counted = (answer: MessageShape<O>) => {
      metrics?.received.inc();
      return receive(answer);
    };
    metrics?.started();
    metrics?.sent.inc();
    try {
      await this.#read(gitaly, method, request, counted, { ...options, span });
      metrics?.ended(StatusCode.OK);
      span?.end();
    } catch (error) {
      metrics?.ended(codeOf(error, options.signal));
      span?.end(errorText(error));
      throw error;
    }
  }

  async #read<I extends DescMessage, O extends DescMessage>(
    gitaly: GitalyInfo,
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    receive: (answer: MessageShape<O>) => boolean,
    options: GitalyCallOptions,
  ): Promise<void> {
    const { clock, userAgent } = this.#deps;
    const path = `/${method.parent.typeName}/${method.name}`;
    const deadlineMs = clock.monotonicMs() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const channel = this.#channel(gitaly);
    const connection = await this.#admit(channel, path, deadlineMs, options.signal);
    const timeoutMs = Math.max(1, Math.ceil(deadlineMs - clock.monotonicMs()));
    const headers: Record<string, string> = {
      ...callHeaders(gitaly, userAgent, channel.tokens.authorization(clock.wallMs())),
      'grpc-timeout': `${timeoutMs}m`,
    };
    if (options.span !== undefined) headers.traceparent = options.span.traceparent;
    const message = toBinary(method.input, create(method.input, request));
    const stream = connection.request(path, headers);
    let late = false;
    const giveUp = () => stream.reset(ErrorCode.Cancel);
    const timer = clock.startTimer(timeoutMs, () => {
      late = true;
      giveUp();
    });
    options.signal.addEventListener('abort', giveUp);
    if (options.signal.aborted) giveUp();
    let outcome: CallOutcome;
    try {
      outcome = await readAnswers(stream, message, (payload) => receive(answerOf(method, payload)));
    } finally {
      timer.stop();
      options.signal.removeEventListener('abort', giveUp);
    }
    if (options.signal.aborted) throw options.signal.reason;
    if (late && outcome.kind === 'broken') throw new CallFailure(DEADLINE_EXCEEDED, { asked: true });
    const failure = failureOf(outcome);
    if (failure !== undefined) throw failure;
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }

  /** Connects before it takes a token: a Gitaly that is down costs none, and none of the other Gitalys' rate. */
  async #admit(channel: Channel, path: string, deadlineMs: number, signal: AbortSignal): Promise<Connection> {
    if (!channel.isReady) await this.#connected(channel, signal);
    for (const limiter of [channel.limiter, this.#global]) {
      if (this.#deps.clock.monotonicMs() + limiter.waitMs() > deadlineMs) {
        const message = `${path} is rejected by rpclimiter middleware, please retry later`;
        throw new CallFailure({ code: StatusCode.ResourceExhausted, message });
      }
      await limiter.take(signal);
    }
    // It may have gone while this call waited.
    return channel.take() ?? this.#connected(channel, signal);
  }

  async #connected(channel: Channel, signal: AbortSignal): Promise<Connection> {
    try {
      return await orAborted(channel.connection(), signal);
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      throw new CallFailure({ code: StatusCode.Unavailable, message: error.message }, { unavailable: true });
    }
  }

  #channel(gitaly: GitalyInfo): Channel {
    const key = `${gitaly.address}\n${gitaly.token}`;
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      this.#forgetOld();
      const { clock, lookup } = this.#deps;
      const { perServerApiRateLimit } = this.#deps.limits;
      const endpoints = new Endpoints(parseGitalyAddress(gitaly.address), clock, lookup);
      channel = new Channel(endpoints, {
        ...this.#deps,
        secret: gitaly.token,
        limiter: new TokenBucket(clock, perServerApiRateLimit, this.#observe(gitaly.address, perServerApiRateLimit)),
      });
      this.#channels.set(key, channel);
    }
    return channel;
  }

  #observe(whose: string, { refillRatePerSecond }: RateLimit): LimiterObserver | undefined {
    return this.#deps.metrics?.observeLimiter(`gitaly_client_${whose}`, '{refill/s}', refillRatePerSecond);
  }

  #forgetOld(): void {
    for (const [key, channel] of this.#channels) {
      if (channel.idleMs < FORGET_CHANNEL_MS) continue;
      this.#channels.delete(key);
      channel.close();
    }
  }
}

function codeOf(error: unknown, signal: AbortSignal): StatusCode {
  if (error instanceof CallFailure) return error.status.code;
  if (signal.aborted) return StatusCode.Canceled;
  return error instanceof AppError ? error.code : StatusCode.Unknown;
}

function answerOf<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  payload: Buffer,
): MessageShape<O> {
  try {
    return fromBinary(method.output, payload);
  } catch {
    const message = 'grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data';
    throw new CallFailure({ code: StatusCode.Internal, message }, { asked: true });
  }
}

/** `work` goes on for others that wait for it; this caller no longer does. */
function orAborted<V>(work: Promise<V>, signal: AbortSignal): Promise<V> {
  if (signal.aborted) {
    work.catch(() => {});
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
