import type { Link } from '../../runtime/link.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { MemoryUsageCounters } from '../memory/usage_counters.ts';
import type { UsageEvents, UsageMetrics, UsageReports } from '../usage_counters.ts';

/** How long a count may stay with the worker that made it. */
const PERIOD_MS = 1000;
const EVERYTHING = Number.POSITIVE_INFINITY;

type Counted = readonly [metrics: UsageMetrics, events: UsageEvents, dropped: number];

/**
 * Hands over what a worker has counted, each second, to the primary process, which reports it for all. So counting, which happens
 * with each request, stays within the worker.
 */
export class UsageHandOver {
  readonly #usage: UsageReports;
  readonly #link: Link;

  constructor(usage: UsageReports, link: Link, scope: Scope) {
    this.#usage = usage;
    this.#link = link;
    const next = () =>
      scope.timeout(PERIOD_MS, () => {
        const counted = this.#take();
        if (counted !== undefined) link.tell('usage.counted', ...counted);
        next();
      });
    next();
  }

  /** Hands over what is left. Resolves when the primary process has it, or has gone. */
  async flush(): Promise<void> {
    const counted = this.#take();
    if (counted !== undefined) await this.#link.call<void>('usage.counted', ...counted).catch(() => {});
  }

  #take(): Counted | undefined {
    const usage = this.#usage;
    const [metrics, events, dropped] = [usage.metrics(), usage.events(EVERYTHING), usage.takeDropped()];
    const { counters, uniqueCounters } = metrics;
    if (counters.size + uniqueCounters.size + events.size + dropped === 0) return undefined;
    usage.subtractMetrics(metrics);
    usage.removeEvents(events);
    return [metrics, events, dropped];
  }
}

/** Adds what the worker at the other end of the link hands over. */
export function collectUsage(link: Link, usage: MemoryUsageCounters): void {
  link.on<Counted>('usage.counted', ([metrics, events, dropped]) => usage.add(metrics, events, dropped));
}
