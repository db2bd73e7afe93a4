import { constants } from 'node:http2';
import { type ConnectRouter, createConnectRouter } from '@connectrpc/connect';
import { compressionGzip } from '@connectrpc/connect-node';
import type { FrontHandlers } from '../net/front.ts';
import type { Log } from '../observability/log.ts';
import { errorText } from '../runtime/app_error.ts';
import type { Scope } from '../runtime/scope.ts';
import { createErrorInterceptor, visibleError } from './call_error.ts';
import { asGoWouldAnswer } from './grpc_answer.ts';
import { type Incoming, universalRequest } from './incoming.ts';
import type { Admission } from './jwt_admission.ts';
import { http1Outgoing, http2Outgoing, type Outgoing, send } from './outgoing.ts';
import { protocolOf } from './protocol.ts';
import { answerUnknown } from './unknown_method.ts';

/** Puts a module's services on a router. */
export type Services = (router: ConnectRouter) => void;

/** As in gRPC servers in Go: a larger message is refused. */
const MAX_MESSAGE_BYTES = 4 << 20;

/**
 * Serves Connect services to a front: as gRPC, gRPC-Web and Connect, over HTTP/1.1 and HTTP/2. The library's own adapter is
 * not used: it dies of a `Host` that is none, and reports to the console.
 */
export function createConnectServer(options: {
  readonly services: readonly Services[];
  readonly admit: Admission;
  readonly scope: Scope;
  readonly log: Log;
}): Required<Pick<FrontHandlers, 'request' | 'stream'>> {
  const { admit, scope, log } = options;
  const defect = (error: unknown) => log.error('Defect in serving a call', { error: errorText(error) });
  const router = createConnectRouter({
    acceptCompression: [compressionGzip],
    readMaxBytes: MAX_MESSAGE_BYTES,
    interceptors: [createErrorInterceptor(log)],
    requestGate(context) {
      try {
        admit(context);
      } catch (error) {
        throw visibleError(error, () => defect(error));
      }
    },
  });
  for (const add of options.services) add(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const services = new Set(router.handlers.map((handler) => handler.service.typeName));

  const serve = async (incoming: Incoming, outgoing: Outgoing): Promise<void> => {
    const { method, target, headers } = incoming;
    const contentType = headers['content-type'] ?? '';
    const path = target.split('?', 1)[0] ?? '';
    const handler = handlers.get(path);
    const response =
      handler === undefined
        ? answerUnknown({ method, path, contentType }, services)
        : await handler(universalRequest(incoming, scope.clock));
    const grpc = protocolOf(contentType) === 'grpc';
    await send(grpc ? asGoWouldAnswer(response, contentType) : response, outgoing);
  };

  return {
    stream(stream, headers, _rawHeaders, session) {
      const incoming: Incoming = {
        httpVersion: '2.0',
        method: headers[':method'] ?? '',
        target: headers[':path'] ?? '',
        headers,
        body: stream,
        answer: stream,
        onAge: (f) => session.onAge(f),
      };
      serve(incoming, http2Outgoing(stream, scope)).catch((error: unknown) => {
        defect(error);
        if (!stream.destroyed && !stream.closed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
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
      };
      response.on('error', () => {}); // 'close' follows, and says the same
      request.on('error', () => {});
      serve(incoming, http1Outgoing(response)).catch((error: unknown) => {
        defect(error);
        response.destroy();
      });
    },
  };
}
