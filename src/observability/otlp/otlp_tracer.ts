import {
  type Context,
  type Span as OpenSpan,
  SpanKind as OpenSpanKind,
  type Tracer as OpenTracer,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { parseTraceParent, setGlobalErrorHandler } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../log.ts';
import { outgoingAgent } from '../outgoing_agent.ts';
import type { Attributes, Span, SpanKind, Tracer } from '../tracer.ts';
import { ExportErrors } from './export_errors.ts';

/** How long the last spans may take to get out. */
const SHUTDOWN_MS = 5000;

const kinds: Readonly<Record<SpanKind, OpenSpanKind>> = {
  server: OpenSpanKind.SERVER,
  client: OpenSpanKind.CLIENT,
  internal: OpenSpanKind.INTERNAL,
};

export interface OtlpOptions {
  readonly endpoint: URL;
  /** For the endpoint. */
  readonly token: string | undefined;
  /** Certificates to trust, in PEM. */
  readonly ca: readonly string[];
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Sends spans to a collector, by OTLP in protobuf over HTTP (docs/protocol/traces.md). Spans wait in a bounded queue and are
 * dropped when it is full; a collector that fails is told of in the log now and then, and costs nobody anything.
 */
export function createOtlpTracer(options: OtlpOptions): Tracer {
  const { token, version, clock, log } = options;
  const { origin, pathname, search } = options.endpoint;
  const errors = new ExportErrors(`${origin}${pathname}`, clock, log);
  setGlobalErrorHandler((error) => errors.report(error));
  const exporter = new OTLPTraceExporter({
    url: `${origin}${pathname}${search}`,
    headers: tokenHeaders(token),
    httpAgentOptions: (protocol) => outgoingAgent(protocol, options),
  });
  const resource = resourceFromAttributes({ 'service.name': 'gitlab-kas', 'service.version': version });
  const provider = new BasicTracerProvider({
    resource: resource.merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('gitlab-kas', version);
  return {
    start(name, kind, { continued, linked } = {}, attributes) {
      const parent = parseTraceParent(continued ?? '');
      const link = parseTraceParent(linked ?? '');
      const context =
        parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
      const more = {
        kind: kinds[kind],
        ...(attributes !== undefined && { attributes: { ...attributes } }),
        ...(link !== null && { links: [{ context: { ...link, isRemote: true } }] }),
      };
      return new OtlpSpan(tracer, tracer.startSpan(name, more, context));
    },
    shutdown: () =>
      new Promise((resolve) => {
        const timer = clock.startTimer(SHUTDOWN_MS, () => {
          errors.report(new Error(`not everything was sent within ${SHUTDOWN_MS / 1000} s`));
          resolve();
        });
        provider
          .shutdown()
          .catch((error: unknown) => errors.report(error))
          .finally(() => {
            timer.stop();
            resolve();
          });
      }),
  };
}

/** GitLab's own tokens go as GitLab wants them. */
function tokenHeaders(token: string | undefined): Record<string, string> {
  if (token === undefined) return {};
  return token.startsWith('glpat-') ? { 'Private-Token': token } : { Authorization: `Bearer ${token}` };
}

class OtlpSpan implements Span {
  readonly #tracer: OpenTracer;
  readonly #span: OpenSpan;
  #context: Context | undefined;

  constructor(tracer: OpenTracer, span: OpenSpan) {
    this.#tracer = tracer;
    this.#span = span;
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  }

  child(name: string, kind: SpanKind, attributes?: Attributes): Span {
    this.#context ??= trace.setSpan(ROOT_CONTEXT, this.#span);
    const more = { kind: kinds[kind], ...(attributes !== undefined && { attributes: { ...attributes } }) };
    return new OtlpSpan(this.#tracer, this.#tracer.startSpan(name, more, this.#context));
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes({ ...attributes });
  }

  end(error?: string): void {
    if (error !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error });
    this.#span.end();
  }
}
