/** One line of a page: a name with its labels, and a number. */
export interface PageSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface PageMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly PageSample[];
}

interface Open {
  readonly name: string;
  readonly help: string;
  type: string | undefined;
  readonly samples: PageSample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\})/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)|NaN)$/;

/**
 * Reads Prometheus' text format (or OpenMetrics) as strictly as Prometheus does: a family in one piece with HELP and TYPE first,
 * samples that belong to it, no sample twice, histograms whose buckets grow up to their count.
 * @throws Error with the line that is wrong
 */
export function parsePage(text: string, format: 'text' | 'openmetrics' = 'text'): Map<string, PageMetric> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const lines = text.slice(0, -1).split('\n');
  if (format === 'openmetrics' && lines.pop() !== '# EOF') throw new Error('# EOF is missing');
  const families = new Map<string, Open>();
  const seen = new Set<string>();
  let open: Open | undefined;
  for (const line of lines) {
    const fail = (what: string): never => {
      throw new Error(`${what}: ${line}`);
    };
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      if (families.has(name)) fail('a family twice');
      open = { name, help: rest, type: undefined, samples: [] };
      families.set(name, open);
    } else if (keyword === 'TYPE') {
      if (open?.name !== name || open.type !== undefined) fail('TYPE without its HELP');
      else open.type = rest;
      if (!/^(counter|gauge|histogram|summary|untyped|unknown)$/.test(rest)) fail('unknown type');
    } else {
      const sample = parseSample(line);
      if (open?.type === undefined || !belongs(sample, open.name, open.type, format)) return fail('not of this family');
      const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      if (seen.has(key)) fail('a sample twice');
      seen.add(key);
      open.samples.push(sample);
    }
  }
  const metrics = new Map<string, PageMetric>();
  for (const { name, type = '', help, samples } of families.values()) {
    if (type === '') throw new Error(`${name} has no TYPE`);
    if (type === 'histogram') checkHistogram(name, samples);
    metrics.set(name, { name, type, help, samples });
  }
  return metrics;
}

function parseSample(line: string): PageSample {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) throw new Error(`no name: ${line}`);
  const labels: Record<string, string> = {};
  let rest = line.slice(name.length);
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    for (let end = false; !end; ) {
      const match = LABEL.exec(rest);
      if (match === null) throw new Error(`bad label: ${line}`);
      const [whole, label = '', value = '', next] = match;
      if (label in labels) throw new Error(`a label twice: ${line}`);
      labels[label] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
      rest = rest.slice(whole.length);
      end = next === '}';
    }
  }
  const number = rest.slice(1);
  if (!rest.startsWith(' ') || !NUMBER.test(number)) throw new Error(`no number: ${line}`);
  return { name, labels, value: Number(number.replace('Inf', 'Infinity')) };
}

function belongs({ name, labels }: PageSample, family: string, type: string, format: 'text' | 'openmetrics'): boolean {
  if (type === 'histogram') {
    if (name === `${family}_bucket`) return 'le' in labels;
    return name === `${family}_sum` || name === `${family}_count`;
  }
  if (type === 'counter' && format === 'openmetrics') return name === `${family}_total`;
  return name === family;
}

function checkHistogram(name: string, samples: readonly PageSample[]): void {
  const withoutLe = ({ labels: { le: _, ...labels } }: PageSample) => JSON.stringify(Object.entries(labels).sort());
  for (const count of samples.filter((sample) => sample.name === `${name}_count`)) {
    const own = samples.filter((sample) => withoutLe(sample) === withoutLe(count));
    const buckets = own.filter((sample) => sample.name === `${name}_bucket`);
    const values = buckets.map(({ value }) => value);
    if (values.some((value, i) => value < (values[i - 1] ?? 0))) throw new Error(`${name}: buckets do not grow`);
    const last = buckets.at(-1);
    if (last?.labels.le !== '+Inf' || last.value !== count.value) throw new Error(`${name}: +Inf is not the count`);
    if (own.length !== buckets.length + 2) throw new Error(`${name}: no sum`);
  }
}
