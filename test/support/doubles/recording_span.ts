import type { Attributes, Span, SpanKind, Tracer } from '../../../src/observability/tracer.ts';

/** A span that keeps what it is told, and its children. */
export class RecordingSpan implements Span {
  readonly traceId = '0af7651916cd43dd8448eb211c80319c';
  readonly traceparent = `00-${this.traceId}-b7ad6b7169203331-01`;
  readonly children: RecordingSpan[] = [];
  readonly name: string;
  readonly kind: SpanKind;
  attributes: Attributes;
  /** How often it was ended, and with what. */
  readonly ends: (string | undefined)[] = [];

  constructor(name = 'request', kind: SpanKind = 'server', attributes: Attributes = {}) {
    this.name = name;
    this.kind = kind;
    this.attributes = attributes;
  }

  child(name: string, kind: SpanKind, attributes?: Attributes): RecordingSpan {
    const child = new RecordingSpan(name, kind, attributes);
    this.children.push(child);
    return child;
  }

  set(attributes: Attributes): void {
    this.attributes = { ...this.attributes, ...attributes };
  }

  end(error?: string): void {
    this.ends.push(error);
  }
}

/** Makes such spans. */
export class RecordingTracer implements Tracer {
  readonly spans: RecordingSpan[] = [];
  readonly origins: Parameters<Tracer['start']>[2][] = [];

  start(name: string, kind: SpanKind, from?: Parameters<Tracer['start']>[2], attributes?: Attributes): RecordingSpan {
    const span = new RecordingSpan(name, kind, attributes);
    this.spans.push(span);
    this.origins.push(from);
    return span;
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
