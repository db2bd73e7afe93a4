import type { Clock } from '../../runtime/clock.ts';
import type { RedisConnection } from './connection.ts';
import type { Keys } from './keys.ts';
import type { Patience } from './patience.ts';
import type { Trouble } from './trouble.ts';

/** What those need who ask Redis while somebody waits, and go on without it when it is away. */
export interface AskingDeps {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly patience: Patience;
  readonly trouble: Trouble;
}
