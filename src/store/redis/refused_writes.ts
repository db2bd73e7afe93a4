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
  ['NOREPLICAS', 'Redis has fewer replicas than its min-replicas-to-write demands'],
]);
/** Commands that each of these answers would meet. */
const STORING = new Set(['HSET', 'SET', 'INCR']);
/** What must be in Redis is tried again more often than that, so nothing is left that could be refused. */
const OVER_AFTER_MS = 30_000;

/** Whether Redis refuses to store anything, by its answers to whatever is written. */
export class RefusedWrites {
  readonly #scope: Scope;
  readonly #on: (refusal: RedisError | undefined) => void;
  #refusal: RedisError | undefined;
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

  static hint(error: unknown): string | undefined {
    return HINTS.get(errorText(error).split(' ', 1)[0] ?? '');
  }

  accepted([name]: Command): void {
    if (this.#refusal !== undefined && STORING.has(String(name))) this.#end();
  }

  refused(error: RedisError): void {
    if (RefusedWrites.hint(error) === undefined) return;
    this.#over?.stop();
    this.#over = this.#scope.timeout(OVER_AFTER_MS, () => this.#end());
    this.#refusal = error;
    this.#on(error);
  }

  #end(): void {
    this.#over?.stop();
    this.#refusal = undefined;
    this.#on(undefined);
  }
}
