import type { LimitHit } from '../observability/limits.ts';

/** A stream's flow-control window never gets smaller: less would make small answers wait for a round trip. */
const MIN_WINDOW_BYTES = 64 << 10;
/** Nor larger, unless told so: at 20 ms of round trip this already carries 100 MB/s and more. */
const MAX_WINDOW_BYTES = 4 << 20;

export interface WindowLimits {
  /** What one stream may have in flight; default 4 MiB. */
  readonly perStreamBytes?: number;
  /** What the streams of one connection may have in flight towards us together. */
  readonly perConnectionBytes: number;
  /** What the streams of all connections may. */
  readonly totalBytes: number;
  /** So many streams are busy that the smallest windows are more than the total. */
  readonly exceeded?: LimitHit;
}

/**
 * Shares memory among the streams that carry bulk data. A peer may send a window's worth of bytes that nobody reads yet, so the
 * windows are the memory that stalled streams can hold: each busy stream gets its part of the budgets, rounded down to a power
 * of two so that not every stream that comes or goes causes SETTINGS (docs/protocol/listeners.md).
 */
export class WindowBudget {
  readonly #limits: WindowLimits;
  readonly #busySessions = new Set<SessionWindow>();
  #busyStreams = 0;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  /** The window that each stream of a session with so many busy streams should have, in bytes. */
  windowFor(busyStreams: number): number {
    const { perStreamBytes = MAX_WINDOW_BYTES, perConnectionBytes, totalBytes } = this.#limits;
    const share = Math.min(perConnectionBytes / Math.max(1, busyStreams), totalBytes / Math.max(1, this.#busyStreams));
    const step = 2 ** Math.floor(Math.log2(Math.max(1, share)));
    return Math.min(perStreamBytes, Math.max(MIN_WINDOW_BYTES, step));
  }

  /** The windows of one session. `apply` tells the peer a new size and calls back when the peer has it. */
  session(apply: (bytes: number, applied: () => void) => void): SessionWindow {
    return new SessionWindow(this, apply);
  }

  /** For SessionWindow: `session` has `change` busy streams more. */
  changed(session: SessionWindow, change: number): void {
    const before = this.windowFor(1);
    this.#busyStreams += change;
    if (change > 0 && this.#busyStreams * MIN_WINDOW_BYTES > this.#limits.totalBytes) this.#limits.exceeded?.();
    if (session.busyStreams > 0) this.#busySessions.add(session);
    else this.#busySessions.delete(session);
    if (this.windowFor(1) < before) for (const other of this.#busySessions) other.shrink();
    else session.shrink();
  }
}

/** Follows the load of one session: shrinks at once, grows when it is asked to, now and then. */
export class SessionWindow {
  readonly #budget: WindowBudget;
  readonly #apply: (bytes: number, applied: () => void) => void;
  /** What the peer was told last. */
  #bytes: number;
  #pending = false;
  #busyStreams = 0;

  constructor(budget: WindowBudget, apply: (bytes: number, applied: () => void) => void) {
    this.#budget = budget;
    this.#apply = apply;
    this.#bytes = budget.windowFor(1);
  }

  /** The size the session starts with. */
  get bytes(): number {
    return this.#bytes;
  }

  get busyStreams(): number {
    return this.#busyStreams;
  }

  streamBusy(): void {
    this.#busyStreams++;
    this.#budget.changed(this, 1);
  }

  streamIdle(): void {
    if (this.#busyStreams === 0) return;
    this.#busyStreams--;
    this.#budget.changed(this, -1);
  }

  /** Takes memory back, if less than the present size is due. */
  shrink(): void {
    if (this.#budget.windowFor(this.#busyStreams) < this.#bytes) this.#follow();
  }

  /** Gives more, if more is due. Called now and then, so that a short pause does not cause SETTINGS in both directions. */
  grow(): void {
    if (this.#budget.windowFor(this.#busyStreams) > this.#bytes) this.#follow();
  }

  /** The session is gone: its streams need nothing any more. */
  close(): void {
    const busy = this.#busyStreams;
    if (busy === 0) return;
    this.#busyStreams = 0;
    this.#budget.changed(this, -busy);
  }

  /** One SETTINGS frame at a time: the runtime allows only a few that are not acknowledged. */
  #follow(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#bytes = this.#budget.windowFor(this.#busyStreams);
    this.#apply(this.#bytes, () => {
      this.#pending = false;
      this.shrink();
    });
  }
}
