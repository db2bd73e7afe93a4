import { createServer, type IncomingHttpHeaders } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { eventually } from '../wait.ts';
import { Fields } from './protobuf.ts';

/** A span as it came over the wire. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'other';
  readonly durationMs: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** Trace ids that it refers to. */
  readonly links: readonly string[];
  /** Undefined unless the span ended with an error. */
  readonly error: string | undefined;
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

/** A collector: takes what exporters send by OTLP in protobuf over HTTP, and keeps it. */
export interface OtlpReceiver {
  readonly origin: string;
  readonly requests: { readonly url: string; readonly headers: IncomingHttpHeaders }[];
  readonly spans: ReceivedSpan[];
  /** With which status requests are answered. */
  status: number;
  /** Waits for a span. */
  span(name: string, matches?: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan>;
  close(): Promise<void>;
}

export async function startOtlpReceiver(tls?: { readonly cert: string; readonly key: string }): Promise<OtlpReceiver> {
  const server = tls === undefined ? createServer() : createTlsServer(tls);
  server.on('request', async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    receiver.requests.push({ url: request.url ?? '', headers: request.headers });
    if (receiver.status === 200) {
      if (request.headers['content-type'] !== 'application/x-protobuf') {
        response.writeHead(415).end();
        return;
      }
      receiver.spans.push(...spansIn(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body));
    }
    response.writeHead(receiver.status, { 'Content-Type': 'application/x-protobuf' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: OtlpReceiver = {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests: [],
    spans: [],
    status: 200,
    span: (name, matches = () => true) =>
      eventually(`the span ${name}`, () => receiver.spans.find((span) => span.name === name && matches(span))),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

const kinds = { 1: 'internal', 2: 'server', 3: 'client' } as const;

/** opentelemetry/proto/collector/trace/v1, ExportTraceServiceRequest. */
function spansIn(body: Uint8Array): ReceivedSpan[] {
  return new Fields(body).messages(1).flatMap((resourceSpans) => {
    const resource = attributesIn(resourceSpans.message(1), 1);
    const spans = resourceSpans.messages(2).flatMap((scopeSpans) => scopeSpans.messages(2));
    return spans.map((span): ReceivedSpan => {
      const status = span.message(15);
      return {
        traceId: span.hex(1),
        spanId: span.hex(2),
        parentSpanId: span.hex(4),
        name: span.text(5),
        kind: kinds[Number(span.number(6)) as keyof typeof kinds] ?? 'other',
        durationMs: Number((span.number(8) ?? 0n) - (span.number(7) ?? 0n)) / 1e6,
        attributes: attributesIn(span, 9),
        links: span.messages(13).map((link) => link.hex(1)),
        error: status.number(3) === 2n ? status.text(2) : undefined,
        resource,
      };
    });
  });
}

function attributesIn(message: Fields, field: number): Record<string, string | number | boolean> {
  return Object.fromEntries(
    message.messages(field).map((pair) => {
      const value = pair.message(2);
      if (value.has(1)) return [pair.text(1), value.text(1)];
      if (value.has(2)) return [pair.text(1), value.number(2) === 1n];
      return [pair.text(1), Number(value.number(3))];
    }),
  );
}
