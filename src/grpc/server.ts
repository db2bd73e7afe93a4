import type { IncomingHttpHeaders } from 'node:http2';
import type { HeaderList } from '../http2/header_list.ts';
import type { MethodMetrics } from '../observability/grpc_metrics.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import { methodFields } from '../observability/method_fields.ts';
import type { Tracer } from '../observability/tracer.ts';
import { AppError, errorText } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { type MessageLimit, USUAL_MESSAGES } from './message_reader.ts';
import { type CallServer, type CallSession, type CallStream, ServerCall } from './server_call.ts';
import { statusOf, unknownMethod } from './status.ts';
import { malformedTimeout, statusTrailers } from './status_wire.ts';

/** One method of the data plane. */
export interface Method {
  /** Full method with leading slash. */
  readonly path: string;
  /** Starts serving; what it throws at once becomes the call's status. */
  handle(call: ServerCall): void;
}

export interface GrpcServerOptions {
  readonly methods: readonly Method[];
  /** Asked for paths that no method has. */
  readonly fallback?: (path: string) => Method | undefined;
  /** Compress messages to clients that compress theirs. */
  readonly compress: boolean;
  readonly messages?: MessageLimit;
  /** For those that are kept as long as their call runs; default: as for all. */
  readonly requests?: MessageLimit;
  /** Where calls of a method are counted, by its path. */
  readonly metrics?: (path: string) => MethodMetrics | undefined;
  /** Makes a span for each call, part of the client's trace if that says so. */
  readonly tracer?: Tracer | undefined;
  readonly log: Log;
}

/** Of strangers little is kept: each may have hundreds of streams. Agents that are known on no connection begin with less than this. */
const STRANGER_REQUEST_BYTES = 32 << 10;

function keptRequests(known: MessageLimit): CallServer['requests'] {
  return { known, stranger: { ...known, maxBytes: Math.min(known.maxBytes, STRANGER_REQUEST_BYTES) } };
}

/** Handles the streams of an HTTP/2 server as gRPC: finds the method, refuses what is no gRPC, turns defects into statuses. */
export function createGrpcServer(
  options: GrpcServerOptions,
): (stream: CallStream, headers: IncomingHttpHeaders, session: CallSession, rawHeaders?: HeaderList) => void {
  const { tracer } = options;
  const methods = new Map(options.methods.map((method) => [method.path, method]));
  const services = new Set(options.methods.map((method) => serviceOf(method.path)));

  const server: CallServer = {
    onDefect: (call, error) => endWithDefect(call, error, options.log),
    messages: options.messages ?? USUAL_MESSAGES,
    requests: keptRequests(options.requests ?? options.messages ?? USUAL_MESSAGES),
  };

  return (stream, headers, session, rawHeaders) => {
    const refusal = refuseAsHttp(headers);
    if (refusal !== undefined) {
      stream.sendHeaders({ ':status': refusal }, true);
      return;
    }
    const timeout = headers['grpc-timeout'];
    const malformed = typeof timeout === 'string' ? malformedTimeout(timeout) : undefined;
    if (malformed !== undefined) {
      const contentType = headers['content-type'];
      stream.sendHeaders({ ':status': 400, 'content-type': contentType, ...statusTrailers(malformed) }, true);
      return;
    }
    const path = headers[':path'] ?? '';
    const encoding = headers['grpc-encoding'];
    const method = methods.get(path) ?? options.fallback?.(path);
    const compress = options.compress && encoding === 'gzip';
    const call = new ServerCall(stream, headers, session, method?.path ?? path, compress, server, rawHeaders);
    if (tracer !== undefined) {
      const name = call.path.slice(1);
      call.span = tracer.start(name, 'server', { continued: call.metadata('traceparent') }, { 'rpc.method': name });
    }
    if (method === undefined) {
      const { log } = options;
      if (log.debugEnabled) {
        const fields = { ...methodFields(path), remote_address: session.remoteAddress };
        log.debug('Unknown gRPC method', { ...fields, ...call.trail() });
      }
      call.end(unknownMethod(path, services));
      return;
    }
    const metrics = options.metrics?.(method.path);
    if (metrics !== undefined) call.countIn(metrics);
    if (encoding !== undefined && encoding !== 'gzip' && encoding !== 'identity') {
      call.end({
        code: StatusCode.Unimplemented,
        message: `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`,
      });
      return;
    }
    try {
      method.handle(call);
    } catch (error) {
      endWithDefect(call, error, options.log);
    }
  };
}

/** Ends `call` with what was thrown; anything but an AppError is a defect and logged as one. */
export function endWithDefect(call: ServerCall, error: unknown, log: Log): void {
  if (!(error instanceof AppError)) {
    const fields = { error: errorText(error), hint: Hint.defect, ...call.trail() };
    log.error(`Unknown gRPC error in "${call.path}"`, fields);
  }
  call.end(statusOf(error));
}

function refuseAsHttp(headers: IncomingHttpHeaders): number | undefined {
  if (headers[':method'] !== 'POST') return 405;
  return /^application\/grpc($|[+;])/.test(headers['content-type'] ?? '') ? undefined : 415;
}

function serviceOf(path: string): string {
  return path.slice(1, path.lastIndexOf('/'));
}
