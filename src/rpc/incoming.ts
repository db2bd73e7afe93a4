import type { IncomingHttpHeaders } from 'node:http2';
import type { Readable } from 'node:stream';
import { Code, ConnectError, createContextValues } from '@connectrpc/connect';
import type { UniversalServerRequest } from '@connectrpc/connect/protocol';
import type { MessageLimit } from '../grpc/message_reader.ts';
import { parseGrpcTimeout } from '../grpc/status_wire.ts';
import type { Clock } from '../runtime/clock.ts';
import { StatusCode } from '../runtime/status_code.ts';
import { type CallRecord, callRecord } from './call_metrics.ts';
import { connectMessage } from './connect_message.ts';
import { onConnectionAge, proveConnection } from './connection.ts';
import { correlationId, correlationOf } from './correlation.ts';
import { GrpcMessages } from './grpc_messages.ts';
import { protocolOf } from './protocol.ts';
import { RequestBody } from './request_body.ts';

/** A request as both versions of HTTP deliver it. */
export interface Incoming {
  readonly httpVersion: string;
  readonly method: string;
  /** With its query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** Emits `close` when nobody waits for the answer any more. */
  readonly answer: { once(event: 'close', f: () => void): unknown };
  readonly onAge?: (f: () => void) => () => void;
  /** Somebody has shown a good credential. */
  readonly prove?: () => void;
}

/**
 * What the library gets to see of a request. Its URL has a host of ours: the client's may be none, and the library parses it.
 * The library keeps a deadline once it has read the request; until then it is kept here.
 * @throws TypeError if a header is not one
 */
export function universalRequest(
  incoming: Incoming,
  clock: Clock,
  messages: MessageLimit,
  record?: CallRecord,
): UniversalServerRequest {
  const { httpVersion, method, target, headers, answer, onAge, prove } = incoming;
  // The stream must outlive its reader: the answer goes out on it.
  const body = new RequestBody(incoming.body.iterator({ destroyOnReturn: false }));
  const timeoutMs = timeoutOf(headers);
  if (timeoutMs !== undefined) {
    const late = new ConnectError('context deadline exceeded', Code.DeadlineExceeded);
    const timer = clock.startTimer(timeoutMs, () => body.fail(late));
    answer.once('close', () => timer.stop());
  }
  const controller = new AbortController();
  answer.once('close', () => controller.abort(new ConnectError('context canceled', Code.Canceled)));
  const values = createContextValues();
  if (onAge !== undefined) values.set(onConnectionAge, onAge);
  if (record !== undefined) values.set(callRecord, record);
  values.set(correlationId, correlationOf(headers));
  if (prove !== undefined) values.set(proveConnection, prove);
  return {
    httpVersion,
    method,
    url: `http://internal-api.invalid${target}`,
    header: webHeaders(headers),
    body: bodyOf(body, headers, countedBy(record, messages)),
    signal: controller.signal,
    contextValues: values,
  };
}

/** Whoever refuses a message notes how the call ends: the library does that by itself, and tells nobody. */
function countedBy(record: CallRecord | undefined, { maxBytes, exceeded }: MessageLimit): MessageLimit {
  return {
    maxBytes,
    exceeded() {
      exceeded();
      if (record !== undefined) record.failure = StatusCode.ResourceExhausted;
    },
  };
}

/** The body as the library gets it: in messages that are as large as they may be, and not compressed. */
function bodyOf(body: RequestBody, headers: IncomingHttpHeaders, limit: MessageLimit): AsyncIterable<Uint8Array> {
  switch (protocolOf(headers['content-type'] ?? '')) {
    case 'grpc':
    case 'grpc-web':
      return new GrpcMessages(body, limit, headers['grpc-encoding'] === 'gzip');
    case 'connect-stream':
      return new GrpcMessages(body, limit, headers['connect-content-encoding'] === 'gzip');
    case 'connect': {
      const length = headers['content-length'];
      const announced = length === undefined ? undefined : Number(length);
      return connectMessage(body, { limit, compressed: headers['content-encoding'] === 'gzip', announced });
    }
    case undefined:
      return body; // refused for its content type
  }
}

/** What is malformed counts as none. */
function timeoutOf(headers: IncomingHttpHeaders): number | undefined {
  if (protocolOf(headers['content-type'] ?? '')?.startsWith('grpc'))
    return parseGrpcTimeout(one(headers['grpc-timeout']));
  const ms = /^\d{1,10}$/.exec(one(headers['connect-timeout-ms']) ?? '')?.[0];
  return ms === undefined ? undefined : Number(ms);
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function webHeaders(headers: IncomingHttpHeaders): Headers {
  const web = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(':')) continue;
    if (Array.isArray(value)) for (const one of value) web.append(name, one);
    else web.set(name, value);
  }
  const contentType = web.get('content-type') ?? '';
  const protocol = protocolOf(contentType);
  if (protocol === 'connect') {
    // Of the body as it came, not as the library gets it.
    web.delete('content-length');
    if (web.get('content-encoding') === 'gzip') web.delete('content-encoding');
  }
  if (protocol === 'grpc') {
    // As gRPC servers in Go do it: who does not compress gets nothing compressed, and a codec that is not there is protobuf.
    const encoding = web.get('grpc-encoding') ?? 'identity';
    if (encoding === 'identity') web.delete('grpc-accept-encoding');
    web.set('content-type', JSON_CODEC.test(contentType) ? 'application/grpc+json' : 'application/grpc+proto');
  }
  return web;
}

const JSON_CODEC = /^application\/grpc\+json($|;)/i;
