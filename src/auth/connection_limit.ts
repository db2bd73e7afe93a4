import { Hint } from '../observability/hints.ts';
import type { LimiterObserver } from '../observability/limiter_metrics.ts';
import type { Fields, Log } from '../observability/log.ts';
import { methodFields } from '../observability/method_fields.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import type { TokenLimiter } from '../store/token_limiter.ts';
import { tokenHash, tokenKey } from './token_hash.ts';

/** Who knocks. */
interface Connection {
  readonly remoteAddress?: string;
}

interface Admission {
  /** The token's hash: a connection lives long, and nobody needs the token again. */
  readonly key: string;
  /** Undefined once the connection is let in. */
  pending: Promise<void> | undefined;
}

/**
 * How many connections an agent's token may open in a minute. Only a connection's first authenticated RPC counts: an agent
 * opens a stream for each proxied request, and counting those would cap the requests (docs/protocol/authentication.md).
 */
export class ConnectionLimit {
  readonly #limiter: TokenLimiter;
  readonly #perMinute: number;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #onDecided: LimiterObserver;
  readonly #admissions = new WeakMap<object, Admission>();

  constructor(deps: {
    readonly limiter: TokenLimiter;
    readonly connectionsPerTokenPerMinute: number;
    readonly log: Log;
    readonly clock: Clock;
    readonly onDecided: LimiterObserver;
  }) {
    this.#limiter = deps.limiter;
    this.#perMinute = deps.connectionsPerTokenPerMinute;
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.#onDecided = deps.onDecided;
  }

  /**
   * Undefined if the connection has been let in with this token before, so that an RPC of a known connection waits for
   * nothing; else a promise that rejects with AppError ResourceExhausted if the token has had its connections.
   *
   * @param connection the object that stands for the connection, e.g. its HTTP/2 session
   * @param path of the call that asks, for the log
   */
  admit(connection: Connection, token: string, path: string): Promise<void> | undefined {
    const key = tokenKey(token);
    const known = this.#admissions.get(connection);
    // A connection that changes its token counts again: whoever alternates between two only uses them up faster.
    if (known?.key === key) return known.pending;
    const admission: Admission = { key, pending: undefined };
    admission.pending = this.#count(connection, token, path).then(
      () => {
        admission.pending = undefined;
      },
      (refused: unknown) => {
        if (this.#admissions.get(connection) === admission) this.#admissions.delete(connection);
        throw refused;
      },
    );
    this.#admissions.set(connection, admission);
    return admission.pending;
  }

  async #count({ remoteAddress }: Connection, token: string, path: string): Promise<void> {
    const told = (): Fields => ({ ...methodFields(path), remote_address: remoteAddress });
    const sinceMs = this.#clock.monotonicMs();
    let taken: boolean;
    try {
      taken = await this.#limiter.tryTake(tokenHash(token), this.#perMinute);
    } catch (error) {
      this.#log.error('redistool.TokenLimiter: error retrieving minute bucket count', {
        ...told(),
        error: errorText(error),
        hint: `${Hint.store}; until then agents that connect are refused`,
      });
      throw exhausted();
    }
    this.#onDecided(this.#clock.monotonicMs() - sinceMs, taken);
    if (taken) return;
    if (this.#log.debugEnabled) {
      // The count itself is in the store, which says only that there is no room.
      const most = this.#perMinute;
      this.#log.debug('redistool.TokenLimiter: rate limit exceeded', { ...told(), count: most, token_limit: most });
    }
    throw exhausted();
  }
}

function exhausted(): AppError {
  return new AppError(
    StatusCode.ResourceExhausted,
    'new connection rate limit exhausted for this agent, try again later',
  );
}
