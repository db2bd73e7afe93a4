import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { encodeGrpcMessage } from '../grpc/status_wire.ts';

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
  return { ...rest, 'grpc-message': encodeGrpcMessage(goText(decodeURIComponent(encoded))) };
}

const TOO_LARGE = /^message size (\d+) is larger than configured readMaxBytes (\d+)$/;
const UNKNOWN_ENCODING = /^unknown compression (".*"): supported encodings are .*$/;

function goText(message: string): string {
  if (message.startsWith('parse binary: ')) {
    return 'grpc: error unmarshalling request: proto: cannot parse invalid wire-format data';
  }
  return message
    .replace(TOO_LARGE, 'grpc: received message larger than max ($1 vs. $2)')
    .replace(UNKNOWN_ENCODING, (_, encoding) => `grpc: Decompressor is not installed for grpc-encoding ${encoding}`);
}
