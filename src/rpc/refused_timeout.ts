import type { IncomingHttpHeaders } from 'node:http2';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { malformedTimeout } from '../grpc/status_wire.ts';
import { trailersOf } from './grpc_answer.ts';
import { protocolOf } from './protocol.ts';

/** Answers a gRPC request whose `grpc-timeout` is none, as the other ports do (docs/protocol/grpc.md); undefined: it is not so. */
export function refuseTimeout(headers: IncomingHttpHeaders): UniversalServerResponse | undefined {
  const timeout = headers['grpc-timeout'];
  if (typeof timeout !== 'string' || protocolOf(headers['content-type'] ?? '') !== 'grpc') return undefined;
  const status = malformedTimeout(timeout);
  return status && { status: 400, header: new Headers(), trailer: trailersOf(status) };
}
