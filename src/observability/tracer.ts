/** What a span says besides its name and times. Never a secret: it goes to another system. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** Whether the work is done for a caller outside, is a call to somebody outside, or neither. */
export type SpanKind = 'server' | 'client' | 'internal';

/**
 * One piece of work of a request, with a beginning and an end. Whoever works for a request is handed its span, or undefined
 * when nothing is traced: `span?.child(…)` then costs nothing, not even its arguments.
 */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** W3C's header, for whoever goes on with the trace in another process. */
  readonly traceparent: string;
  child(name: string, kind: SpanKind, attributes?: Attributes): Span;
  set(attributes: Attributes): void;
  /** To be called once. `error` says why the work came to nothing. */
  end(error?: string): void;
}

/** Where traces come from. There is none unless tracing is configured. */
export interface Tracer {
  /**
   * Begins the work for one request.
   * @param from.continued the caller's `traceparent`, if the caller is to be believed: the span becomes part of that trace
   * @param from.linked the `traceparent` of anybody else: a new trace that only refers to it
   */
  start(
    name: string,
    kind: SpanKind,
    from?: { readonly continued?: string | undefined; readonly linked?: string | undefined },
    attributes?: Attributes,
  ): Span;
  /** Sends what has not been sent yet, as far as that goes within a few seconds. */
  shutdown(): Promise<void>;
}

/** What belongs to one request from its entry to the last call that is made for it, and is handed on from one to the next. */
export interface RequestContext {
  /** Calls made for the request become its children; undefined without tracing. */
  readonly span?: Span | undefined;
}
