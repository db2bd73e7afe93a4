import type { Registry } from 'prom-client';
import { counterFamily, type Distribution, HistogramFamily, type Sample } from './hot_metrics.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);
const BUCKETS_MS = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000];
/** Of the proxy's listener. Clients choose the `Host`: what more of them say is `_OTHER`. */
const MAX_HOSTS = 20;
const OTHER = '_OTHER';

const SCOPE = {
  otel_scope_name: 'go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp',
  otel_scope_version: '',
};

interface Samples {
  readonly requestBytes: Sample;
  readonly responseBytes: Sample;
  readonly duration: Distribution;
}

type Label =
  | 'http_flavor'
  | 'http_method'
  | 'http_scheme'
  | 'http_status_code'
  | 'net_host_name'
  | 'net_host_port'
  | 'otel_scope_name'
  | 'otel_scope_version';

interface Families {
  readonly requestBytes: { with(labels: Record<Label, string>): Sample };
  readonly responseBytes: { with(labels: Record<Label, string>): Sample };
  readonly durations: HistogramFamily<Label>;
}

/** The requests of port 8154 under the names of upstream's instrumentation; to be made for the scheme that is served. */
export function createHttpServerMetrics(registry: Registry): (scheme: 'http' | 'https') => HttpServerMetrics {
  const labelNames: readonly Label[] = [
    'http_flavor',
    'http_method',
    'http_scheme',
    'http_status_code',
    'net_host_name',
    'net_host_port',
    'otel_scope_name',
    'otel_scope_version',
  ];
  const families: Families = {
    requestBytes: counterFamily(registry, {
      name: 'http_server_request_content_length_total',
      help: 'Bytes of request bodies that clients have sent to the Kubernetes API proxy.',
      labelNames,
    }),
    responseBytes: counterFamily(registry, {
      name: 'http_server_response_content_length_total',
      help: 'Bytes of response bodies that the Kubernetes API proxy has sent to clients.',
      labelNames,
    }),
    durations: new HistogramFamily(registry, {
      name: 'http_server_duration',
      help: 'Milliseconds from the head of a request to the end of its answer.',
      labelNames,
      buckets: BUCKETS_MS,
    }),
  };
  return (scheme) => new HttpServerMetrics(families, scheme);
}

export class HttpServerMetrics {
  readonly #families: Families;
  readonly #scheme: 'http' | 'https';
  readonly #hosts = new Set<string>();
  readonly #samples = new Map<string, Samples>();

  constructor(families: Families, scheme: 'http' | 'https') {
    this.#families = families;
    this.#scheme = scheme;
  }

  /**
   * A request has been answered.
   * @param version `1.0`, `1.1` or `2.0`
   * @param named the `Host` header, or what HTTP/2 has for it
   */
  served(
    asked: string,
    version: string,
    status: number,
    named: string,
    requestBytes: number,
    responseBytes: number,
    durationMs: number,
  ): void {
    const host = this.#hosts.has(named) ? named : this.#admit(named);
    const method = METHODS.has(asked) ? asked : OTHER;
    const key = `${method} ${version} ${status} ${host}`;
    let samples = this.#samples.get(key);
    if (samples === undefined) {
      samples = this.#find(method, version, status, host);
      this.#samples.set(key, samples);
    }
    samples.requestBytes.add(requestBytes);
    samples.responseBytes.add(responseBytes);
    samples.duration.observe(durationMs);
  }

  #admit(host: string): string {
    if (this.#hosts.size >= MAX_HOSTS || host.length > 255) return OTHER;
    this.#hosts.add(host);
    return host;
  }

  #find(method: string, version: string, status: number, host: string): Samples {
    const [, name = host, port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(host) ?? [];
    const labels = {
      http_flavor: version,
      http_method: method,
      http_scheme: this.#scheme,
      http_status_code: String(status),
      net_host_name: name,
      net_host_port: port,
      ...SCOPE,
    };
    return {
      requestBytes: this.#families.requestBytes.with(labels),
      responseBytes: this.#families.responseBytes.with(labels),
      duration: this.#families.durations.with(labels),
    };
  }
}
