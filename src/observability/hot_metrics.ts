import type { Metric, MetricValue, Registry } from 'prom-client';

/*
 * Metrics of the data plane. To count is an addition on an object that was looked up once, when the server was built;
 * prom-client puts a key together from the labels each time, which would be half of what a request costs beside its bytes.
 * They stand on the same page as prom-client's own.
 */

export interface MetricOptions<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly L[];
  /** What the values of several workers make together; default `sum`. */
  readonly aggregator?: 'sum' | 'first';
}

/** One sample: a count or a level. */
export class Sample {
  value = 0;

  inc(): void {
    this.value++;
  }

  dec(): void {
    this.value--;
  }

  add(n: number): void {
    this.value += n;
  }
}

/** The samples of one name, by their labels. */
abstract class Family<L extends string, S> {
  abstract readonly type: 'counter' | 'gauge' | 'histogram';
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly L[];
  readonly aggregator: 'sum' | 'first';
  protected readonly samples = new Map<string, { readonly labels: Readonly<Record<L, string>>; readonly sample: S }>();

  constructor(registry: Registry, { name, help, labelNames = [], aggregator = 'sum' }: MetricOptions<L>) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.aggregator = aggregator;
    registry.registerMetric(this as unknown as Metric<L>);
  }

  /** The sample with these labels, to be kept by whoever counts. It is on the page from now on. */
  with(labels: Readonly<Record<L, string>>): S {
    const key = this.labelNames.map((name) => labels[name]).join('\n');
    let known = this.samples.get(key);
    if (known === undefined) {
      known = { labels, sample: this.create() };
      this.samples.set(key, known);
    }
    return known.sample;
  }

  protected abstract create(): S;
  protected abstract values(): MetricValue<string>[];

  /** What prom-client's registry asks for. */
  get(): Promise<object> {
    const { name, help, type, aggregator } = this;
    return Promise.resolve({ name, help, type, aggregator, values: this.values() });
  }
}

class SampleFamily<L extends string> extends Family<L, Sample> {
  readonly type: 'counter' | 'gauge';

  constructor(registry: Registry, type: 'counter' | 'gauge', options: MetricOptions<L>) {
    super(registry, options);
    this.type = type;
  }

  protected create(): Sample {
    return new Sample();
  }

  protected values(): MetricValue<string>[] {
    return [...this.samples.values()].map(({ labels, sample }) => ({ labels, value: sample.value }));
  }
}

/** How values are spread over buckets. */
export class Distribution {
  readonly bounds: readonly number[];
  /** One more than there are bounds: the last is for what is beyond them. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let i = 0;
    while (i < bounds.length && value > (bounds[i] ?? 0)) i++;
    counts[i] = (counts[i] ?? 0) + 1;
    this.sum += value;
  }
}

/** A histogram: cumulative buckets, as Prometheus has them. */
export class HistogramFamily<L extends string> extends Family<L, Distribution> {
  readonly type = 'histogram';
  readonly #bounds: readonly number[];

  constructor(registry: Registry, options: MetricOptions<L> & { readonly buckets: readonly number[] }) {
    super(registry, options);
    this.#bounds = options.buckets;
  }

  protected create(): Distribution {
    return new Distribution(this.#bounds);
  }

  protected values(): MetricValue<string>[] {
    const values: (MetricValue<string> & { metricName: string })[] = [];
    for (const { labels, sample } of this.samples.values()) {
      let count = 0;
      for (const [i, bound] of [...this.#bounds, '+Inf' as const].entries()) {
        count += sample.counts[i] ?? 0;
        values.push({ metricName: `${this.name}_bucket`, labels: { le: bound, ...labels }, value: count });
      }
      values.push({ metricName: `${this.name}_sum`, labels, value: sample.sum });
      values.push({ metricName: `${this.name}_count`, labels, value: count });
    }
    return values;
  }
}

export function counterFamily<L extends string>(registry: Registry, options: MetricOptions<L>): SampleFamily<L> {
  return new SampleFamily(registry, 'counter', options);
}

export function gaugeFamily<L extends string>(registry: Registry, options: MetricOptions<L>): SampleFamily<L> {
  return new SampleFamily(registry, 'gauge', options);
}

/** A counter without labels. */
export function counter(registry: Registry, options: Omit<MetricOptions<never>, 'labelNames'>): Sample {
  return counterFamily(registry, options).with({});
}
