import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { FrameSplitter } from './grpc_frames.ts';

/** How an RPC ended, as the client sees it. */
export interface RpcStatus {
  readonly code: number;
  readonly message: string;
}

export interface RpcHandlers {
  onMessage(message: Buffer): void;
  /** Exactly once, and nothing after it. */
  onEnd(status: RpcStatus): void;
}

/** One gRPC call on an HTTP/2 session; what is sent has its frame already. */
export class Rpc {
  readonly stream: ClientHttp2Stream;
  readonly #handlers: RpcHandlers;
  readonly #splitter: FrameSplitter;
  #ended = false;

  constructor(session: ClientHttp2Session, headers: Record<string, string>, handlers: RpcHandlers) {
    this.#handlers = handlers;
    this.#splitter = new FrameSplitter((message) => {
      if (!this.#ended) handlers.onMessage(message);
    });
    const stream = session.request(headers, { endStream: false });
    this.stream = stream;
    stream.on('response', (answer) => {
      if (answer['grpc-status'] !== undefined) this.#end(statusFrom(answer));
      else if (answer[':status'] !== 200)
        this.fail({ code: StatusCode.Unavailable, message: `unexpected HTTP status ${answer[':status']}` });
    });
    stream.on('data', (chunk: Buffer) => {
      try {
        this.#splitter.push(chunk);
      } catch (error) {
        this.fail({ code: StatusCode.Internal, message: String(error) });
      }
    });
    stream.on('trailers', (trailers) => this.#end(statusFrom(trailers)));
    stream.on('error', () => {}); // 'close' tells the same with the code
    stream.on('close', () =>
      this.#end({
        code: codeOfReset(stream.rstCode),
        message: `stream terminated by RST_STREAM with error code: ${stream.rstCode}`,
      }),
    );
  }

  /** False: wait for the stream's `drain`. */
  write(frame: Buffer): boolean {
    return this.#ended || this.stream.destroyed || this.stream.writableEnded ? true : this.stream.write(frame);
  }

  end(frame?: Buffer): void {
    if (this.stream.destroyed || this.stream.writableEnded) return;
    if (frame === undefined) this.stream.end();
    else this.stream.end(frame);
  }

  /** Gives the call up with RST_STREAM(CANCEL); `onEnd` is called with `status`. */
  fail(status: RpcStatus): void {
    this.cancel();
    this.#end(status);
  }

  /** RST_STREAM(CANCEL). */
  cancel(): void {
    if (!this.stream.destroyed) this.stream.close(constants.NGHTTP2_CANCEL);
  }

  #end(status: RpcStatus): void {
    if (this.#ended) return;
    this.#ended = true;
    // The server has said its last word; whatever was not sent yet is of no use to it.
    if (!this.stream.destroyed && !this.stream.writableEnded) this.stream.close(constants.NGHTTP2_CANCEL);
    this.#handlers.onEnd(status);
  }
}

/** Headers of every RPC of one agent, but `:path`. */
export function rpcHeaders(
  authority: string,
  token: string,
  userAgent: string,
  metadata: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    ':method': 'POST',
    ':scheme': 'http',
    ':authority': authority,
    'content-type': 'application/grpc',
    'user-agent': userAgent,
    te: 'trailers',
    'grpc-encoding': 'gzip',
    'grpc-accept-encoding': 'gzip',
    authorization: `Bearer ${token}`,
    ...metadata,
  };
}

function statusFrom(headers: IncomingHttpHeaders): RpcStatus {
  const message = headers['grpc-message'];
  return { code: Number(headers['grpc-status']), message: decodeMessage(typeof message === 'string' ? message : '') };
}

function decodeMessage(text: string): string {
  return Buffer.from(
    text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString('utf8');
}

function codeOfReset(code: number | undefined): number {
  switch (code) {
    case constants.NGHTTP2_REFUSED_STREAM:
      return StatusCode.Unavailable;
    case constants.NGHTTP2_CANCEL:
      return StatusCode.Canceled;
    case constants.NGHTTP2_ENHANCE_YOUR_CALM:
      return StatusCode.ResourceExhausted;
    case constants.NGHTTP2_INADEQUATE_SECURITY:
      return StatusCode.PermissionDenied;
    default:
      // grpc-go calls a stream that went with its connection Unavailable, one that was reset Internal.
      return code === constants.NGHTTP2_NO_ERROR || code === undefined ? StatusCode.Unavailable : StatusCode.Internal;
  }
}
