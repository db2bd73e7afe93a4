import type { Random } from '../runtime/random.ts';

/** When an HTTP/2 connection gets old, in milliseconds since it was accepted. */
export interface ConnectionAge {
  /** GOAWAY: the client opens a new connection for what comes next. */
  readonly goAwayMs: number;
  /** Long polls and idle tunnels end with OK. Later than GOAWAY, so that the client does not open them here again. */
  readonly ageMs: number;
  /** Whatever is left is cut off. */
  readonly closeMs: number;
}

/**
 * The parts of `max_connection_age` (docs/protocol/listeners.md): GOAWAY at 20 % of it, give or take a tenth of that; the age at
 * 30 %, and up to 5 % of that more; the end 65 % after GOAWAY. The spread keeps the agents of a restarted node from
 * coming back all at once for ever.
 */
export function connectionAge(maxConnectionAgeMs: number, random: Random): ConnectionAge {
  const goAwayMs = maxConnectionAgeMs * 0.2 * (0.9 + 0.2 * random.fraction());
  return {
    goAwayMs,
    ageMs: maxConnectionAgeMs * 0.3 * (1 + 0.05 * random.fraction()),
    closeMs: goAwayMs + maxConnectionAgeMs * 0.65,
  };
}
