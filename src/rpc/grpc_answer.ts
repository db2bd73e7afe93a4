import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { GrpcStatus } from '../grpc/status.ts';
import { encodeGrpcMessage, statusTrailers } from '../grpc/status_wire.ts';
import { StatusCode } from '../runtime/status_code.ts';

/**
 * Connect speaks gRPC correctly, but not in the words of gRPC servers in Go, which is what GitLab knows: the content type is
 * the request's, there is always a message, and what the library finds wrong by itself is said as there.
 */
export function asGoWouldAnswer(response: UniversalServerResponse, contentType: string): UniversalServerResponse {
  response.header?.set('content-type', contentType);
  return response;
}

/** The same for the trailers, which are complete only when the body has ended. */
export function goTrailers(trailer: Headers): Record<string, string> {
  const { 'grpc-message': encoded = '', ...rest } = Object.fromEntries(trailer);
  const message = decodeURIComponent(encoded);
  if (message.startsWith(PROTOCOL_ERROR)) rest['grpc-status'] = String(StatusCode.Internal);
  return { ...rest, 'grpc-message': encodeGrpcMessage(goText(message)) };
}

/** The trailers of a call that the library does not get to see. */
export function trailersOf(status: GrpcStatus): Headers {
  return new Headers(Object.entries(statusTrailers(status)).map(([name, value]) => [name, String(value)]));
}

const PROTOCOL_ERROR = 'protocol error: ';
const MISSING = /^protocol error: missing input message .*$/;
const EXTRA = /^protocol error: received extra input message .*$/;
const UNKNOWN_ENCODING = /^unknown compression (".*"): supported encodings are .*$/;

function goText(message: string): string {
  if (message.startsWith('parse binary: ')) {
    return 'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data';
  }
  return message
    .replace(MISSING, 'grpc: received no request message')
    .replace(EXTRA, 'grpc: received more than one request message')
    .replace(UNKNOWN_ENCODING, (_, encoding) => `grpc: Decompressor is not installed for grpc-encoding ${encoding}`);
}
