import { GitLabError } from '../gitlab/gitlab_error.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Clock } from '../runtime/clock.ts';
import { ExpiringMap } from '../runtime/expiring_map.ts';
import type { ErrorCache, SharedAnswer } from '../store/error_cache.ts';
import type { AnswerSeal } from './sealed_answer.ts';
import { SharedFlight } from './shared_flight.ts';
import { tokenKey } from './token_hash.ts';

/** Answers are shared together. A node that dies takes those of the last moments along. */
const SHARE_EVERY_MS = 1000;
/** Answers in memory at a time; each belongs to a credential that GitLab has accepted. */
const MAX_ANSWERS = 100_000;

/** One question to GitLab: what to ask, and under which name the answer is kept. */
export interface Lookup<V> {
  /** The credential and whatever else is asked about. Only its SHA-256 is kept, here and in the store, which others can read. */
  readonly key: string;
  ask(signal: AbortSignal): Promise<V>;
}

export interface LookupCacheOptions<V> {
  /** The store's name for the refusals, e.g. `agent_info_errs`. */
  readonly errorKind: string;
  /** How long answers live; 0: nothing is cached, refusals neither. */
  readonly ttlMs: number;
  readonly errorTtlMs: number;
  readonly sharing?: Sharing<V> | undefined;
}

/** How answers go to other nodes. */
export interface Sharing<V> {
  /** The store's name for the answers, e.g. `agent_info`. */
  readonly kind: string;
  readonly seal: AnswerSeal;
  encode(answer: V): Uint8Array;
  /** Throws if that is no answer. */
  decode(bytes: Buffer): V;
}

/**
 * Remembers what GitLab said: answers in this process, refusals (401, 403, 404) in the store, anything else not at all.
 * However many ask the same at once, GitLab is asked once (docs/protocol/gitlab.md#caches).
 */
export class LookupCache<V> {
  readonly #options: LookupCacheOptions<V>;
  readonly #errors: ErrorCache;
  readonly #log: Log;
  readonly #answers: ExpiringMap<V>;
  /** Credentials that were good a while ago: what the store says of others, refusals, would not be about them. */
  readonly #accepted: ExpiringMap<true>;
  /** Names of answers that GitLab has just given, and other nodes do not know yet. */
  readonly #unshared = new Set<string>();
  readonly #clock: Clock;
  readonly #flights = new Map<string, SharedFlight<V>>();

  constructor(
    options: LookupCacheOptions<V>,
    deps: { readonly clock: Clock; readonly errors: ErrorCache; readonly log: Log },
  ) {
    this.#options = options;
    this.#errors = deps.errors;
    this.#log = deps.log;
    this.#clock = deps.clock;
    this.#answers = new ExpiringMap(deps.clock, MAX_ANSWERS);
    this.#accepted = new ExpiringMap(deps.clock, MAX_ANSWERS);
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
    const known = this.#accepted.get(name) ? undefined : await this.#look(hash);
    if (known instanceof GitLabError) throw known;
    if (known !== undefined) {
      this.#accept(name, known.answer, known.ttlMs);
      return known.answer;
    }
    try {
      const answer = await lookup.ask(signal);
      this.#accept(name, answer, this.#options.ttlMs);
      this.#shareSoon(name);
      return answer;
    } catch (error) {
      this.#accepted.delete(name);
      if (isRefusal(error)) await this.#remember(hash, error);
      throw error;
    }
  }

  #accept(name: string, answer: V, ttlMs: number): void {
    this.#answers.set(name, answer, ttlMs);
    this.#accepted.set(name, true, ttlMs + this.#options.ttlMs);
  }

  #shareSoon(name: string): void {
    if (this.#options.sharing === undefined) return;
    if (this.#unshared.size === 0) this.#clock.startTimer(SHARE_EVERY_MS, () => void this.#share(this.#unshared));
    this.#unshared.add(name);
  }

  /**
   * Shares all answers of this node, as long as each holds: those that were shared before may have been lost. Never rejects.
   * @returns how many that were
   */
  handOver(): Promise<number> {
    return this.#share(undefined);
  }

  /** @param names which ones; default: all */
  async #share(names: ReadonlySet<string> | undefined): Promise<number> {
    const { sharing, errorKind } = this.#options;
    if (sharing === undefined) return 0;
    const { seal, kind, encode } = sharing;
    const answers: SharedAnswer[] = [];
    for (const { key, value, leftMs } of this.#answers.live(names)) {
      const hash = Buffer.from(key, 'base64');
      answers.push({ hash, answer: seal.seal(hash, encode(value), leftMs) });
    }
    this.#unshared.clear();
    try {
      if (answers.length > 0) await this.#errors.share({ errors: errorKind, answers: kind }, answers);
      return answers.length;
    } catch {
      return 0; // the store is in trouble, and says so itself
    }
  }

  /** What this node or another one has heard of it before. */
  async #look(hash: Buffer): Promise<GitLabError | { readonly answer: V; readonly ttlMs: number } | undefined> {
    const { sharing, errorKind } = this.#options;
    try {
      const { error, answer = undefined } =
        sharing === undefined
          ? { error: await this.#errors.get(errorKind, hash) }
          : await this.#errors.look({ errors: errorKind, answers: sharing.kind }, hash);
      if (error !== undefined) return new GitLabError(error.status, error.path, error.reason);
      const opened = answer && sharing?.seal.open(hash, answer);
      return opened && sharing && { answer: sharing.decode(opened.answer), ttlMs: this.#atMost(opened.ttlMs) };
    } catch (error) {
      this.#log.error('Failed to get cached error from Redis', { error: errorText(error), hint: Hint.store });
      return undefined;
    }
  }

  /** The other node may have been told to remember for longer. */
  #atMost(ttlMs: number): number {
    return Math.min(ttlMs, this.#options.ttlMs);
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
