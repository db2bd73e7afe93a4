import { Hint } from '../../observability/hints.ts';
import type { ErrorFields, Log } from '../../observability/log.ts';
import { NowAndThen } from '../../observability/now_and_then.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import { getOrPut } from '../../runtime/get_or_put.ts';
import { RedisError } from './redis_error.ts';
import { RefusedWrites } from './refused_writes.ts';

const REPEAT_MS = 60_000;
const GARBAGE_HINT =
  'another version or program may write under redis.key_prefix; the entry is skipped, and can be removed from Redis';

/**
 * Tells the log of what is wrong with what Redis has or answers. A broken entry is met again with each read, so each kind is
 * told once a minute, and in between at level debug. That there is no connection is for the connection to tell.
 */
export class Trouble {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #kinds = new Map<string, NowAndThen>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** An entry could not be read, and was skipped. */
  garbage(message: string, key: Buffer): void {
    const fields = { error: 'not an entry of this version', redis_key: key.toString('base64') };
    this.#tell(message, { ...fields, hint: GARBAGE_HINT });
  }

  /** Something was not done. */
  failed(message: string, error: unknown): void {
    if (error instanceof RedisError && !error.answered) return;
    this.#tell(message, { error: errorText(error), hint: RefusedWrites.hint(error) ?? Hint.store });
  }

  #tell(message: string, fields: ErrorFields): void {
    const kind = getOrPut(this.#kinds, message, () => new NowAndThen(this.#clock, REPEAT_MS));
    if (kind.due) this.#log.error(message, fields);
    else if (this.#log.debugEnabled) this.#log.debug(message, fields);
  }
}
