import { errorText } from '../../runtime/app_error.ts';
import type { Timer } from '../../runtime/clock.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { RedisError } from './redis_error.ts';
import type { Command } from './reply.ts';

/** What a Redis says that answers everything and stores nothing, and what can be done about it. */
const HINTS = new Map([
  ['OOM', 'Redis is full: raise its maxmemory, or have it evict what expires (maxmemory-policy volatile-ttl)'],
  ['MISCONF', 'Redis cannot save to its disk, and refuses writes until it can: its own log says why'],
  ['READONLY', 'this Redis is a replica: name its master in section redis, or the sentinels that know it'],
  ['NOPERM', 'redis.username lacks a right: docs/protocol/redis.md has those that are needed, for ACL SETUSER'],
  ['NOREPLICAS', 'Redis has fewer replicas than its min-replicas-to-write demands'],
]);
/** Each of these commands meets such an answer; others may be refused alone, for want of a right. */
const STORING = new Set(['HSET', 'SET', 'INCR']);
/** What must be in Redis is tried again more often than that, so nothing is left that could be refused. */
const OVER_AFTER_MS = 30_000;

/** Whether Redis refuses to store anything, by its answers to whatever is written. */
export class RefusedWrites {
  readonly #scope: Scope;
  readonly #on: (refusal: RedisError | undefined) => void;
  #refusal: RedisError | undefined;
  /** The first one of its kind. */
  #told: RedisError | undefined;
  #over: Timer | undefined;

  /** @param on hears of each refusal, and with undefined when Redis stores again */
  constructor(scope: Scope, on: (refusal: RedisError | undefined) => void) {
    this.#scope = scope;
    this.#on = on;
  }

  /** What Redis says in place of storing; undefined if it stores. */
  get refusal(): RedisError | undefined {
    return this.#refusal;
  }

  /** What to do about the answer; undefined if it is none of these. */
  static hint(error: unknown): string | undefined {
    return HINTS.get(codeOf(error));
  }

  accepted([name]: Command): void {
    if (this.#refusal !== undefined && STORING.has(String(name))) this.#end();
  }

  refused(error: RedisError): void {
    if (RefusedWrites.hint(error) === undefined) return;
    const [, forbidden] = /^NOPERM .*?'(\w+)/.exec(error.message) ?? [];
    if (forbidden !== undefined && !STORING.has(forbidden.toUpperCase())) return;
    this.#over?.stop();
    this.#over = this.#scope.timeout(OVER_AFTER_MS, () => this.#end());
    // Some say the same in other words each time, for another command.
    if (this.#refusal === undefined || codeOf(this.#refusal) !== codeOf(error)) this.#told = error;
    this.#refusal = error;
    this.#on(this.#told);
  }

  #end(): void {
    this.#over?.stop();
    this.#refusal = undefined;
    this.#on(undefined);
  }
}

function codeOf(error: unknown): string {
  return errorText(error).split(' ', 1)[0] ?? '';
}
