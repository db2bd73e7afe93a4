import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { unknownMethod } from '../grpc/status.ts';
import { trailersOf } from './grpc_answer.ts';
import { protocolOf } from './protocol.ts';

/** Connect's flag of a stream's last message. */
const END_OF_STREAM = 2;

/** Answers a request for a path that no method has, in the request's protocol (docs/protocol/internal_api.md, unknown). */
export function answerUnknown(
  request: { readonly method: string; readonly path: string; readonly contentType: string },
  services: ReadonlySet<string>,
): UniversalServerResponse {
  if (request.method !== 'POST') return { status: 405, header: new Headers({ allow: 'POST' }) };
  const header = new Headers({ 'content-type': request.contentType });
  const status = unknownMethod(request.path, services);
  const error = { code: 'unimplemented', message: status.message };
  switch (protocolOf(request.contentType)) {
    case 'grpc':
      return { status: 200, header, trailer: trailersOf(status) };
    case 'grpc-web':
      for (const [name, value] of trailersOf(status)) header.set(name, value);
      return { status: 200, header };
    case 'connect-stream':
      return { status: 200, header, body: once(endOfStream(Buffer.from(JSON.stringify({ error })))) };
    case 'connect':
      header.set('content-type', 'application/json');
      return { status: 501, header, body: once(Buffer.from(JSON.stringify(error))) };
    case undefined:
      return { status: 415 };
  }
}

function endOfStream(json: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = END_OF_STREAM;
  prefix.writeUInt32BE(json.length, 1);
  return Buffer.concat([prefix, json]);
}

async function* once(chunk: Uint8Array): AsyncIterable<Uint8Array> {
  yield chunk;
}
