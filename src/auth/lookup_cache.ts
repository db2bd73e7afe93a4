import { GitLabError } from '../gitlab/gitlab_error.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { ExpiringMap } from '../runtime/expiring_map.ts';
import type { ErrorCache } from '../store/error_cache.ts';
import { SharedFlight } from './shared_flight.ts';
import { tokenKey } from './token_hash.ts';

/** Answers in memory at a time; each belongs to a credential that GitLab has accepted. */
const MAX_ANSWERS = 100_000;

/** One question to GitLab: what to ask, and under which name the answer is kept. */
export interface Lookup<V> {
  /** The credential and whatever else is asked about. Only its SHA-256 is kept, here and in the store, which others can read. */
  readonly key: string;
  ask(signal: AbortSignal): Promise<V>;
}

export interface LookupCacheOptions {
  /** The store's name for the refusals, e.g. `agent_info_errs`. */
  readonly errorKind: string;
  /** How long answers live; 0: nothing is cached, refusals neither. */
  readonly ttlMs: number;
  readonly errorTtlMs: number;
}

/**
 * Remembers what GitLab said: answers in this process, refusals (401, 403, 404) in the store, anything else not at all.
 * However many ask the same at once, GitLab is asked once (docs/protocol/gitlab.md#caches).
 */
export class LookupCache<V> {
  readonly #options: LookupCacheOptions;
  readonly #errors: ErrorCache;
  readonly #log: Log;
  readonly #answers: ExpiringMap<V>;
  readonly #flights = new Map<string, SharedFlight<V>>();

  constructor(
    options: LookupCacheOptions,
    deps: { readonly clock: Clock; readonly errors: ErrorCache; readonly log: Log },
  ) {
    this.#options = options;
    this.#errors = deps.errors;
    this.#log = deps.log;
    this.#answers = new ExpiringMap(deps.clock, MAX_ANSWERS);
  }

  /** The answer if it is here and fresh. */
  peek(key: string): V | undefined {
    return this.#answers.get(tokenKey(key));
  }

  /** Rejects with what `ask` rejects with, with a GitLabError from the store, or with the signal's reason when it fires. */
  get(lookup: Lookup<V>, signal: AbortSignal): Promise<V> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#options.ttlMs === 0) return lookup.ask(signal);
    const name = tokenKey(lookup.key);
    const answer = this.#answers.get(name);
    if (answer !== undefined) return Promise.resolve(answer);
    let flight = this.#flights.get(name);
    if (flight === undefined) {
      flight = new SharedFlight(
        (flightSignal) => this.#fly(name, lookup, flightSignal),
        (ended) => {
          if (this.#flights.get(name) === ended) this.#flights.delete(name);
        },
      );
      this.#flights.set(name, flight);
    }
    return flight.join(signal);
  }

  async #fly(name: string, lookup: Lookup<V>, signal: AbortSignal): Promise<V> {
    const hash = Buffer.from(name, 'base64');
    const known = await this.#knownRefusal(hash);
    if (known !== undefined) throw known;
    try {
      const answer = await lookup.ask(signal);
      this.#answers.set(name, answer, this.#options.ttlMs);
      return answer;
    } catch (error) {
      if (isRefusal(error)) await this.#remember(hash, error);
      throw error;
    }
  }

  async #knownRefusal(hash: Buffer): Promise<GitLabError | undefined> {
    try {
      const cached = await this.#errors.get(this.#options.errorKind, hash);
      return cached && new GitLabError(cached.status, cached.path, cached.reason);
    } catch (error) {
      this.#log.error('Failed to get cached error from Redis', { error: errorText(error), hint: Hint.store });
      return undefined;
    }
  }

  async #remember(hash: Buffer, { status, path, reason }: GitLabError): Promise<void> {
    try {
      await this.#errors.set(this.#options.errorKind, hash, { status, path, reason }, this.#options.errorTtlMs);
    } catch (error) {
      this.#log.error('Failed to cache error in Redis', { error: errorText(error), hint: Hint.store });
    }
  }
}

function isRefusal(error: unknown): error is GitLabError {
  return error instanceof GitLabError && (error.status === 401 || error.status === 403 || error.status === 404);
}
