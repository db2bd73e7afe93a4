import { GitLabError } from '../gitlab/gitlab_error.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { ExpiringMap } from '../runtime/expiring_map.ts';
import type { ErrorCache } from '../store/error_cache.ts';
import { SharedFlight } from './shared_flight.ts';

/** Answers in memory at a time; each belongs to a credential that GitLab has accepted. */
const MAX_ANSWERS = 100_000;

/** One question to GitLab: what to ask, and under which names the answer is kept. */
export interface Lookup<V> {
  /**
   * Names the answer in memory: the credential itself and whatever else is asked about. Hashing it instead would cost more
   * than the rest of a cached look-up; it is in this process' memory anyway while its owner sends it, and entries die soon
   * after their time (ExpiringMap).
   */
  readonly key: string;
  /** Names the refusal in the store, which others can read: SHA-256 over all that `key` says. Asked for only on a miss. */
  hash(): Buffer;
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
    return this.#answers.get(key);
  }

  /** Rejects with what `ask` rejects with, with a GitLabError from the store, or with the signal's reason when it fires. */
  get(lookup: Lookup<V>, signal: AbortSignal): Promise<V> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#options.ttlMs === 0) return lookup.ask(signal);
    const answer = this.#answers.get(lookup.key);
    if (answer !== undefined) return Promise.resolve(answer);
    let flight = this.#flights.get(lookup.key);
    if (flight === undefined) {
      flight = new SharedFlight(
        (flightSignal) => this.#fly(lookup, flightSignal),
        (ended) => {
          if (this.#flights.get(lookup.key) === ended) this.#flights.delete(lookup.key);
        },
      );
      this.#flights.set(lookup.key, flight);
    }
    return flight.join(signal);
  }

  async #fly(lookup: Lookup<V>, signal: AbortSignal): Promise<V> {
    const hash = lookup.hash();
    const known = await this.#knownRefusal(hash);
    if (known !== undefined) throw known;
    try {
      const answer = await lookup.ask(signal);
      this.#answers.set(lookup.key, answer, this.#options.ttlMs);
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
