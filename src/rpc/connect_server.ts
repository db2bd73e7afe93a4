import type { Duplex } from 'node:stream';
import { type ConnectRouter, createConnectRouter } from '@connectrpc/connect';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { compressionGzip } from '@connectrpc/connect-node';
import type { MessageLimit } from '../grpc/message_reader.ts';
import { serverMetrics } from '../grpc/method_metrics.ts';
import type { FrontHandlers } from '../net/front.ts';
import { Http2Messages } from '../net/http2_messages.ts';
import type { GrpcMetrics } from '../observability/grpc_metrics.ts';
import { Hint } from '../observability/hints.ts';
import type { Log } from '../observability/log.ts';
import type { Tracer } from '../observability/tracer.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Scope } from '../runtime/scope.ts';
import type { StatusCode } from '../runtime/status_code.ts';
import { createErrorInterceptor, visibleError } from './call_error.ts';
import { CallRecord, callRecord, countMessages } from './call_metrics.ts';
import { asGoWouldAnswer } from './grpc_answer.ts';
import { type Incoming, universalRequest } from './incoming.ts';
import type { Admission } from './jwt_admission.ts';
import { http1Outgoing, http2Outgoing, type Outgoing, send } from './outgoing.ts';
import { protocolOf } from './protocol.ts';
import { refuseTimeout } from './refused_timeout.ts';
import { createTracingInterceptor } from './traced_calls.ts';
import { answerUnknown } from './unknown_method.ts';

/** Puts a module's services on a router. */
export type Services = (router: ConnectRouter) => void;

/**
 * Serves Connect services to a front: as gRPC, gRPC-Web and Connect, over HTTP/1.1 and HTTP/2. The library's own adapter is
 * not used: it dies of a `Host` that is none, and reports to the console.
 */
export function createConnectServer(options: {
  readonly services: readonly Services[];
  readonly admit: Admission;
  readonly metrics: GrpcMetrics;
  readonly tracer: Tracer | undefined;
  readonly messages: MessageLimit;
  /** Somebody is known on a connection of HTTP/1.1. */
  readonly prove: (connection: Duplex) => void;
  readonly scope: Scope;
  readonly log: Log;
}): Required<Pick<FrontHandlers, 'request' | 'stream'>> {
  const { admit, tracer, scope, log } = options;
  const defect = (error: unknown) => {
    log.error('Defect in serving a call', { error: errorText(error), hint: Hint.defect });
  };
  const router = createConnectRouter({
    acceptCompression: [compressionGzip],
    readMaxBytes: options.messages.maxBytes,
    interceptors: [countMessages, ...(tracer ? [createTracingInterceptor(tracer)] : []), createErrorInterceptor(log)],
    requestGate(context) {
      try {
        admit(context);
      } catch (error) {
        const seen = visibleError(error, () => defect(error));
        const record = context.values.get(callRecord);
        if (record !== undefined) record.failure = seen.code as number as StatusCode;
        throw seen;
      }
    },
  });
  for (const add of options.services) add(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const services = new Set(router.handlers.map((handler) => handler.service.typeName));
  const metrics = serverMetrics(
    router.handlers.map((handler) => handler.service),
    options.metrics,
  );

  const serve = async (incoming: Incoming, outgoing: Outgoing): Promise<void> => {
    const { method, target, headers } = incoming;
    const contentType = headers['content-type'] ?? '';
    const path = target.split('?', 1)[0] ?? '';
    const handler = handlers.get(path);
    const counted = metrics.get(path);
    const answered = (response: UniversalServerResponse) =>
      send(protocolOf(contentType) === 'grpc' ? asGoWouldAnswer(response, contentType) : response, outgoing);
    const untimely = refuseTimeout(headers);
    if (untimely !== undefined) {
      await answered(untimely);
      return;
    }
    if (handler === undefined || counted === undefined) {
      await answered(answerUnknown({ method, path, contentType }, services));
      return;
    }
    const record = new CallRecord(counted, scope.clock);
    let response: UniversalServerResponse | undefined;
    let gone = false;
    try {
      response = await handler(universalRequest(incoming, scope.clock, options.messages, record));
      gone = outgoing.gone;
      await answered(response);
    } finally {
      record.ended(response, gone);
    }
  };

  return {
    stream(stream, headers, rawHeaders, session) {
      const { request, response } = new Http2Messages(stream, headers, rawHeaders);
      const incoming: Incoming = {
        httpVersion: '2.0',
        method: request.method,
        target: request.url,
        headers,
        body: request,
        answer: response,
        onAge: (f) => session.onAge(f),
        prove: () => session.prove(),
      };
      serve(incoming, http2Outgoing(response)).catch((error: unknown) => {
        defect(error);
        response.destroy(new Error('defect'));
      });
    },
    request(request, response) {
      const incoming: Incoming = {
        httpVersion: request.httpVersion,
        method: request.method ?? '',
        target: request.url ?? '',
        headers: request.headers,
        body: request,
        answer: response,
        prove: () => options.prove(request.socket),
      };
      response.on('error', () => {}); // 'close' follows, and says the same
      request.on('error', () => {});
      serve(incoming, http1Outgoing(request, response, scope)).catch((error: unknown) => {
        defect(error);
        response.destroy();
      });
    },
  };
}
