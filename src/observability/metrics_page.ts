import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Metric, MetricObjectWithValues, MetricValue, Registry } from 'prom-client';

const compress = promisify(gzip);

const TEXT = 'text/plain; version=0.0.4; charset=utf-8';
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
/** Smaller pages are not worth it. */
const COMPRESS_FROM_BYTES = 1024;

export interface Page {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The samples of the registry as the scraper wants them: in Prometheus' text format or as OpenMetrics, compressed or not. */
export async function metricsPage(
  registry: Pick<Registry, 'getMetricsAsArray'>,
  accept: string | undefined,
  acceptEncoding: string | undefined,
): Promise<Page> {
  const open = wantsOpenMetrics(accept);
  // Not the registry's own text: for OpenMetrics it renames its counters for good, for whoever asks next.
  const registered = registry.getMetricsAsArray() as unknown as Metric[]; // its types say what `get` resolves with
  const metrics = await Promise.all(registered.map((metric) => metric.get()));
  const text = metrics.map((metric) => metricText(metric, open)).join('');
  const body = Buffer.from(open ? `${text}# EOF\n` : text);
  const headers: Record<string, string> = { 'Content-Type': open ? OPEN_METRICS : TEXT };
  if (body.length < COMPRESS_FROM_BYTES || !acceptsGzip(acceptEncoding)) return { headers, body };
  return { headers: { ...headers, 'Content-Encoding': 'gzip' }, body: await compress(body) };
}

type SampleValue = MetricValue<string> & { readonly metricName?: string };

function metricText(metric: MetricObjectWithValues<MetricValue<string>>, open: boolean): string {
  const { name, help } = metric;
  // prom-client gives the type as a word or as a number.
  const type = String(metric.type);
  const family = open && type === 'counter' ? name.replace(/_total$/, '') : name;
  let text = `# HELP ${family} ${escapeHelp(help, open)}\n# TYPE ${family} ${type}\n`;
  for (const sample of metric.values as SampleValue[]) {
    const sampleName = sample.metricName ?? (open && type === 'counter' ? `${family}_total` : name);
    text += `${sampleName}${labelsText(sample.labels)} ${valueText(sample.value)}\n`;
  }
  return text;
}

function labelsText(labels: MetricValue<string>['labels']): string {
  const pairs: string[] = [];
  let le: string | undefined;
  for (const [label, value] of Object.entries(labels)) {
    const pair = `${label}="${escapeLabel(String(value))}"`;
    // Last, as readers of histograms expect.
    if (label === 'le') le = pair;
    else pairs.push(pair);
  }
  if (le !== undefined) pairs.push(le);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}

function escapeHelp(text: string, open: boolean): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return open ? escaped.replaceAll('"', '\\"') : escaped;
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

/** Whether the header prefers OpenMetrics to the text format; Prometheus asks for several versions of both. */
function wantsOpenMetrics(accept = ''): boolean {
  let open = 0;
  let text = 0;
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = qualityOf(parameters);
    if (type === 'application/openmetrics-text') {
      const version = parameters.find((parameter) => parameter.startsWith('version='))?.slice(8) ?? '1.0.0';
      if (version === '1.0.0' || version === '0.0.1') open = Math.max(open, quality);
    } else if (type === 'text/plain' || type === 'text/*' || type === '*/*') text = Math.max(text, quality);
  }
  return open > 0 && open >= text;
}

function acceptsGzip(acceptEncoding = ''): boolean {
  return acceptEncoding.split(',').some((coding) => {
    const [name = '', ...parameters] = coding.split(';').map((part) => part.trim().toLowerCase());
    return name === 'gzip' && qualityOf(parameters) > 0;
  });
}

function qualityOf(parameters: readonly string[]): number {
  const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
  return Number.isNaN(quality) ? 0 : quality;
}
