import type { Clock } from '../../../src/runtime/clock.ts';
import type { Random } from '../../../src/runtime/random.ts';

/** How long to wait before the next attempt. All durations in milliseconds. */
export interface BackoffSettings {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** Delay = current × (1 + [0, jitter)). */
  readonly jitter: number;
  /** Start over when more than this has passed since the last delay began. */
  readonly resetMs: number;
}

/** agentk's tunnels: docs/protocol/agent.md. */
export const TUNNEL_BACKOFF: BackoffSettings = {
  initialMs: 1000,
  maxMs: 20_000,
  factor: 1.6,
  jitter: 0.2,
  resetMs: 25_000,
};

/** grpc-go's channel: 1 s × 1.6ⁿ up to 120 s. */
export const CHANNEL_BACKOFF: BackoffSettings = {
  initialMs: 1000,
  maxMs: 120_000,
  factor: 1.6,
  jitter: 0.2,
  resetMs: 120_000,
};

export class Backoff {
  readonly #settings: BackoffSettings;
  readonly #clock: Clock;
  readonly #random: Random;
  #currentMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(settings: BackoffSettings, clock: Clock, random: Random) {
    this.#settings = settings;
    this.#clock = clock;
    this.#random = random;
    this.#currentMs = settings.initialMs;
  }

  nextMs(): number {
    const now = this.#clock.monotonicMs();
    const { initialMs, maxMs, factor, jitter, resetMs } = this.#settings;
    if (now - this.#lastMs > resetMs) this.#currentMs = initialMs;
    this.#lastMs = now;
    const delay = this.#currentMs * (1 + this.#random.fraction() * jitter);
    this.#currentMs = Math.min(this.#currentMs * factor, maxMs);
    return delay;
  }

  reset(): void {
    this.#currentMs = this.#settings.initialMs;
  }
}
