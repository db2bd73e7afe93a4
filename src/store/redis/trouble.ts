import { Hint } from '../../observability/hints.ts';
import type { ErrorFields, Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Clock } from '../../runtime/clock.ts';
import { RedisError } from './redis_error.ts';

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
  readonly #toldAtMs = new Map<string, number>();

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
    this.#tell(message, { error: errorText(error), hint: Hint.store });
  }

  #tell(message: string, fields: ErrorFields): void {
    const nowMs = this.#clock.monotonicMs();
    const toldAtMs = this.#toldAtMs.get(message);
    if (toldAtMs === undefined || nowMs - toldAtMs >= REPEAT_MS) {
      this.#toldAtMs.set(message, nowMs);
      this.#log.error(message, fields);
    } else if (this.#log.debugEnabled) this.#log.debug(message, fields);
  }
}
