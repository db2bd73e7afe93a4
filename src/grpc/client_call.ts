import type { IncomingHttpHeaders } from 'node:http2';
import { ErrorCode, errorCodeName } from '../http2/error_code.ts';
import type { Stream, StreamSink } from '../http2/stream.ts';
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

/** What a call uses of its stream. */
export type AskedStream = Pick<Stream, 'open' | 'resume' | 'write' | 'end' | 'reset'>;

/**
 * Sends the one request of a call that answers with a stream, and hands the answers' payloads to `receive` until that
 * returns true; the rest is then not asked for. To give up earlier, reset the stream.
 * @param stream opened with the call's headers, nothing sent on it yet
 */
export function readAnswers(
  stream: AskedStream,
  request: Uint8Array,
  receive: (payload: Buffer) => boolean,
): Promise<CallOutcome> {
  return new Promise((resolve, reject) => {
    const answers = new Answers(stream, receive, resolve, reject);
    stream.open(answers);
    stream.resume();
    stream.write(frameOf(request));
    stream.end();
  });
}

class Answers implements StreamSink {
  readonly #stream: AskedStream;
  readonly #receive: (payload: Buffer) => boolean;
  readonly #resolve: (outcome: CallOutcome) => void;
  readonly #reject: (defect: unknown) => void;
  readonly #reader = new MessageReader(this);
  #outcome: CallOutcome | undefined;

  constructor(
    stream: AskedStream,
    receive: (payload: Buffer) => boolean,
    resolve: (outcome: CallOutcome) => void,
    reject: (defect: unknown) => void,
  ) {
    this.#stream = stream;
    this.#receive = receive;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  headers(headers: IncomingHttpHeaders): void {
    const refusal = refusalOf(headers);
    if (refusal !== undefined) this.#conclude({ kind: 'ended', status: refusal });
    else this.trailers(headers);
  }

  data(chunk: Buffer): void {
    this.#reader.push(chunk);
  }

  trailers(headers: IncomingHttpHeaders): void {
    const status = statusOf(headers);
    if (status !== undefined) this.#outcome ??= { kind: 'ended', status };
  }

  ended(): void {}

  drained(): void {}

  closed(code: number): void {
    const outcome = this.#outcome;
    const cutOff = this.#reader.hasRest && outcome?.kind === 'ended' && outcome.status.code === StatusCode.OK;
    this.#reader.stop();
    const reason = code === ErrorCode.NoError ? 'unexpected EOF' : `the stream was reset: ${errorCodeName(code)}`;
    this.#resolve((cutOff ? CUT_OFF : outcome) ?? { kind: 'broken', reason });
  }

  messageRead(payload: Buffer): void {
    try {
      if (this.#receive(payload)) this.#conclude({ kind: 'enough' });
    } catch (error) {
      this.#reject(error);
      this.#conclude({ kind: 'enough' });
    }
  }

  readFailed(status: GrpcStatus): void {
    this.#conclude({ kind: 'ended', status });
  }

  #conclude(outcome: CallOutcome): void {
    this.#outcome ??= outcome;
    this.#stream.reset(ErrorCode.Cancel);
  }
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
