import type { Link } from '../../runtime/link.ts';
import type { Scope } from '../../runtime/scope.ts';
import { MemoryUsageCounters } from '../memory/usage_counters.ts';
import type { EventFields, UsageCounters, UsageEvents, UsageMetrics } from '../usage_counters.ts';

/** How long a count may stay with the worker that made it. */
const HAND_OVER_MS = 1000;
const EVERYTHING = Number.POSITIVE_INFINITY;

/** What a worker hands over: all that it has counted since the last time. */
type Counted = readonly [metrics: UsageMetrics, events: UsageEvents, dropped: number];

/**
 * What a worker counts. It counts by itself, because that happens with each request, and now and then hands over what has come
 * together to the primary process, which reports it.
 */
export class CountedUsage implements UsageCounters {
  readonly #link: Link;
  readonly #scope: Scope;
  readonly #counted = new MemoryUsageCounters();
  #isDue = false;

  constructor(link: Link, scope: Scope) {
    this.#link = link;
    this.#scope = scope;
  }

  increment(counter: string): void {
    this.#counted.increment(counter);
    this.#handOverSoon();
  }

  addUnique(counter: string, id: bigint): void {
    this.#counted.addUnique(counter, id);
    this.#handOverSoon();
  }

  addUserEvent(name: string, userId: bigint, projectId: bigint): void {
    this.#counted.addUserEvent(name, userId, projectId);
    this.#handOverSoon();
  }

  addEvent(name: string, event: EventFields): void {
    this.#counted.addEvent(name, event);
    this.#handOverSoon();
  }

  /** Hands over what is left. Resolves when the primary process has it, or has gone. */
  flush(): Promise<void> {
    return this.#link.call<void>('usage.counted', ...this.#take()).catch(() => {});
  }

  #handOverSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#scope.timeout(HAND_OVER_MS, () => {
      this.#isDue = false;
      this.#link.tell('usage.counted', ...this.#take());
    });
  }

  #take(): Counted {
    const metrics = this.#counted.metrics();
    const events = this.#counted.events(EVERYTHING);
    this.#counted.subtractMetrics(metrics);
    this.#counted.removeEvents(events);
    return [metrics, events, this.#counted.takeDropped()];
  }
}

/** Adds what the worker at the other end of the link hands over. */
export function collectUsage(link: Link, usage: MemoryUsageCounters): void {
  link.on<Counted>('usage.counted', ([metrics, events, dropped]) => usage.add(metrics, events, dropped));
}
