import type { GitLabClient } from '../../gitlab/client.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Scope } from '../../runtime/scope.ts';
import type { UsageEvents, UsageReports } from '../../store/usage_counters.ts';

/** How long the end of the process waits for the last report. */
const FLUSH_MS = 5_000;
/** GitLab handles events one by one while we wait; after an outage there are thousands. */
const EVENTS_PER_CALL = 500;

interface ReporterDeps {
  readonly gitlab: Pick<GitLabClient, 'reportUsage' | 'reportEvents'>;
  readonly usage: UsageReports;
  readonly periodMs: number;
  readonly log: Log;
}

/**
 * Sends GitLab each period what was counted (docs/protocol/usage.md). What GitLab does not take stays for the next period;
 * what it may have taken without our hearing of it is sent again.
 */
export class UsageReporter {
  readonly #deps: ReporterDeps;
  /** Closed when reports have to stop, the one that is being sent included. */
  readonly #work: Scope;
  /** Closed when there is nothing to wait for any more. */
  readonly #waiting: Scope;
  #periods: Promise<void> = Promise.resolve();

  constructor(deps: ReporterDeps, scope: Scope) {
    this.#deps = deps;
    this.#work = scope.child();
    this.#waiting = this.#work.child();
  }

  /** Begins to report, until `flush` is called or the scope is closed. */
  start(): void {
    this.#periods = this.#reportEachPeriod();
  }

  /** Sends what is left, after the report that is being sent, and ends. Takes 5 s at most; never rejects. */
  async flush(): Promise<void> {
    this.#waiting.close();
    this.#work.timeout(FLUSH_MS, () => this.#work.close(new Error(`not sent within ${FLUSH_MS / 1000} s`)));
    await this.#periods;
    if (!this.#work.closed) await this.#report();
    this.#work.close();
  }

  async #reportEachPeriod(): Promise<void> {
    while (await this.#waiting.sleep(this.#deps.periodMs)) await this.#report();
  }

  async #report(): Promise<void> {
    const { usage, log } = this.#deps;
    const dropped = usage.takeDropped();
    if (dropped > 0) log.warn('Dropped usage data that GitLab has not taken for too long', { count: dropped });
    await Promise.all([this.#attempt(this.#sendMetrics()), this.#attempt(this.#sendEvents())]);
  }

  async #attempt(sending: Promise<void>): Promise<void> {
    try {
      await sending;
    } catch (error) {
      this.#deps.log.error('Failed to send usage data', {
        error: errorText(error),
        hint: `${Hint.gitlab}; nothing is lost by it yet`,
      });
    }
  }

  async #sendMetrics(): Promise<void> {
    const { gitlab, usage } = this.#deps;
    const metrics = usage.metrics();
    if (metrics.counters.size === 0 && metrics.uniqueCounters.size === 0) return;
    await gitlab.reportUsage(metrics, { signal: this.#work.signal });
    usage.subtractMetrics(metrics);
  }

  async #sendEvents(): Promise<void> {
    const { gitlab, usage } = this.#deps;
    let isFull = true;
    while (isFull) {
      const events = usage.events(EVENTS_PER_CALL);
      if (events.size === 0) return;
      isFull = countOf(events) === EVENTS_PER_CALL;
      // An older GitLab has no use for them, now or later: they are dropped all the same.
      await gitlab.reportEvents(events, { signal: this.#work.signal });
      usage.removeEvents(events);
    }
  }
}

function countOf(events: UsageEvents): number {
  let count = 0;
  for (const list of events.values()) count += list.length;
  return count;
}
