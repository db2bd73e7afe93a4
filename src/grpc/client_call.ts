import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { StatusCode } from '../runtime/status_code.ts';
import { frameOf } from './frame.ts';
import { MessageReader } from './message_reader.ts';
import type { GrpcStatus } from './status.ts';
import { decodeGrpcMessage } from './status_wire.ts';

/** How a call ended, as its client sees it. */
export type CallOutcome =
  | { readonly kind: 'ended'; readonly status: GrpcStatus }
  /** The connection broke, or the stream was reset: nobody said how it went. */
  | { readonly kind: 'broken'; readonly reason: string }
  /** The client has read all it wanted. */
  | { readonly kind: 'enough' };

/** OK, in the middle of a message. */
const CUT_OFF: CallOutcome = { kind: 'ended', status: { code: StatusCode.Internal, message: 'unexpected EOF' } };

/**
 * Sends the one request of a call that answers with a stream, and hands the answers' payloads to `receive` until that
 * returns true; the rest is then not asked for. To give up earlier, close the stream.
 * @param stream opened with the call's headers, nothing sent on it yet
 */
export function readAnswers(
  stream: ClientHttp2Stream,
  request: Uint8Array,
  receive: (payload: Buffer) => boolean,
): Promise<CallOutcome> {
  return new Promise((resolve, reject) => {
    let outcome: CallOutcome | undefined;
    const conclude = (concluded: CallOutcome): void => {
      outcome ??= concluded;
      reader.stop();
      if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    };
    const reader = new MessageReader({
      messageRead(payload) {
        try {
          if (receive(payload)) conclude({ kind: 'enough' });
        } catch (error) {
          reject(error);
          conclude({ kind: 'enough' });
        }
      },
      readFailed: (status) => conclude({ kind: 'ended', status }),
    });
    const end = (headers: IncomingHttpHeaders): void => {
      const status = statusOf(headers);
      if (status !== undefined) outcome ??= { kind: 'ended', status };
    };
    stream.on('response', (headers) => {
      const refusal = refusalOf(headers);
      if (refusal !== undefined) conclude({ kind: 'ended', status: refusal });
      else end(headers);
    });
    stream.on('trailers', end);
    stream.on('data', (chunk: Buffer) => reader.push(chunk));
    let reason = 'unexpected EOF';
    stream.on('error', (error) => {
      reason = error.message;
    });
    stream.on('close', () => {
      const cutOff = reader.hasRest && outcome?.kind === 'ended' && outcome.status.code === StatusCode.OK;
      resolve((cutOff ? CUT_OFF : outcome) ?? { kind: 'broken', reason });
    });
    stream.end(frameOf(request));
  });
}

/** The status in an answer's trailers, or in its headers if it has no messages; undefined if there is none. */
export function statusOf(headers: IncomingHttpHeaders): GrpcStatus | undefined {
  const code = headers['grpc-status'];
  if (typeof code !== 'string') return undefined;
  const status = {
    code: Number(code) as StatusCode,
    message: decodeGrpcMessage(String(headers['grpc-message'] ?? '')),
  };
  const details = headers['grpc-status-details-bin'];
  return typeof details === 'string' ? { ...status, details: Buffer.from(details, 'base64') } : status;
}

/** How a call ends whose answer is none of gRPC's: a proxy's, or that of something else altogether. */
export function refusalOf(headers: IncomingHttpHeaders): GrpcStatus | undefined {
  if (headers['grpc-status'] !== undefined) return undefined;
  const status = Number(headers[':status']);
  const type = headers['content-type'] ?? '';
  if (status === 200 && type.startsWith('application/grpc')) return undefined;
  const code = status === 502 || status === 503 || status === 504 ? StatusCode.Unavailable : StatusCode.Unknown;
  return { code, message: `unexpected HTTP status code received from server: ${status}; content-type "${type}"` };
}
