import { randomBytes } from 'node:crypto';

/** Chance comes in from outside, so that tests decide it. */
export interface Random {
  /** A number in [0, 1). For jitter, not for secrets. */
  fraction(): number;
  /** Unpredictable bytes, fit for secrets. */
  bytes(n: number): Buffer;
}

export const systemRandom: Random = { fraction: () => Math.random(), bytes: (n) => randomBytes(n) };
