import { AggregatorRegistry, type Registry } from 'prom-client';
import type { Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { Link } from '../../runtime/link.ts';
import type { Scope } from '../../runtime/scope.ts';

/** A worker that has not told its values within this time is left out. */
const ANSWER_MS = 2000;

/** What a registry gives as JSON. */
type Samples = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

interface MergedMetricsOptions {
  /** Of the primary process, which comes first. */
  readonly own: Registry;
  readonly links: () => Iterable<Link>;
  readonly scope: Scope;
  readonly log: Log;
}

/**
 * The metrics of the primary process and of all workers as those of one server. Each metric says what several values make
 * together (`aggregator`): counters, histograms and most gauges add up; of `first` there is one, the primary process's.
 */
export class MergedMetrics {
  readonly #options: MergedMetricsOptions;

  constructor(options: MergedMetricsOptions) {
    this.#options = options;
  }

  /** What all say now. */
  async collect(): Promise<Registry> {
    const { own, links } = this.#options;
    const [first, ...others] = await Promise.all([own.getMetricsAsJSON(), ...[...links()].map((l) => this.#ask(l))]);
    // prom-client leaves out the time of the start where there are several; the server's is that of the primary process.
    const named = first.map((metric) => (metric.aggregator === 'omit' ? { ...metric, aggregator: 'first' } : metric));
    return AggregatorRegistry.aggregate([named, ...others]);
  }

  async #ask(link: Link): Promise<Samples> {
    const { scope, log } = this.#options;
    const late = scope.sleep(ANSWER_MS).then(() => {
      throw new Error(`no answer within ${ANSWER_MS / 1000} s`);
    });
    try {
      return await Promise.race([link.call<Samples>('worker.metrics'), late]);
    } catch (error) {
      log.warn('A worker is missing from the metrics', { error: errorText(error) });
      return [];
    }
  }
}
