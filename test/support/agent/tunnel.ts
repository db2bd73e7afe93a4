import type { ClientHttp2Session } from 'node:http2';
import { errorText } from '../../../src/runtime/app_error.ts';
import { StatusCode } from '../../../src/runtime/status_code.ts';
import { Automaton, CONNECT_RESPONSE_RULES, END_OF_STREAM } from './automaton.ts';
import { gzipFrame } from './grpc_frames.ts';
import { MAKE_REQUEST, MakeRequest, type MakeRequestContext, type MakeRequestSink } from './make_request.ts';
import {
  CONNECT_RESPONSE,
  connectDescriptor,
  connectError,
  connectHeader,
  connectHttpResponse,
  connectTrailer,
  HTTP_MESSAGE,
  readData,
  readOneof,
  readRequestInfo,
} from './messages.ts';
import { Rpc, type RpcStatus } from './rpc.ts';

export const CONNECT_PATH = '/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect';

/** Messages that are the same each time, packed once. */
const DESCRIPTOR = gzipFrame(
  connectDescriptor(new Map([['gitlab.agent.kubernetes_api.rpc.KubernetesApi', ['MakeRequest']]])),
);
const HEADER = gzipFrame(connectHeader(true));
const EMPTY_HEADER = gzipFrame(connectHeader(false));
const TRAILER = gzipFrame(connectTrailer(false));
const TRAILER_WITH_METADATA = gzipFrame(connectTrailer(true));
const HTTP_TRAILER = gzipFrame(connectHttpResponse(HTTP_MESSAGE.trailer, Buffer.alloc(0)));
const NO_MEMBER: RpcStatus = {
  code: StatusCode.InvalidArgument,
  message: 'invalid server response: invalid ConnectResponse.Msg: value is required',
};
const OK: RpcStatus = { code: StatusCode.OK, message: '' };

export interface TunnelEvents {
  /** A request has come: the tunnel is not idle any more. */
  active(): void;
  /** Once, last. */
  ended(status: RpcStatus): void;
}

/** One `Connect` call: idle until kas sends a request through it, then that request's, then over. */
export class Tunnel implements MakeRequestSink {
  readonly #rpc: Rpc;
  readonly #events: TunnelEvents;
  readonly #context: MakeRequestContext;
  readonly #automaton = new Automaton(CONNECT_RESPONSE_RULES);
  #call: MakeRequest | undefined;
  #headerSent = false;
  #finished = false;
  /** Frames of this turn of the event loop: they leave in one write. */
  #pending: Buffer[] = [];
  #last = false;

  constructor(
    session: ClientHttp2Session,
    headers: Record<string, string>,
    context: MakeRequestContext,
    events: TunnelEvents,
  ) {
    this.#events = events;
    this.#context = context;
    this.#rpc = new Rpc(session, headers, {
      onMessage: (message) => this.#message(message),
      onEnd: (status) => this.#rpcEnded(status),
    });
    this.#rpc.stream.on('drain', () => this.#call?.resumeResponse());
    this.#rpc.write(DESCRIPTOR);
  }

  get active(): boolean {
    return this.#call !== undefined;
  }

  cancel(): void {
    this.#rpc.fail({ code: StatusCode.Canceled, message: 'context canceled' });
  }

  #message(message: Buffer): void {
    if (this.#finished) return;
    try {
      const { field, body } = readOneof(message, 3);
      const violation = field === 0 ? NO_MEMBER : this.#automaton.next(field);
      if (violation !== undefined) {
        this.#violation(violation);
        return;
      }
      if (field === CONNECT_RESPONSE.requestInfo) this.#open(readRequestInfo(body).methodName);
      else if (field === CONNECT_RESPONSE.message) this.#call?.message(readData(body));
      else this.#call?.halfClose();
    } catch (error) {
      this.#violation({
        code: StatusCode.Internal,
        message: `grpc: failed to unmarshal the received message: ${errorText(error)}`,
      });
    }
  }

  #open(method: string): void {
    this.#call = new MakeRequest(this.#context, this);
    this.#events.active();
    if (method !== MAKE_REQUEST) this.end({ code: StatusCode.Unimplemented, message: unknownMethod(method) });
  }

  /** kas broke the rules: the attempt fails, kas sees a cancelled stream. */
  #violation(status: RpcStatus): void {
    this.#rpc.fail(status);
  }

  #rpcEnded(status: RpcStatus): void {
    const early = status.code === StatusCode.OK ? this.#automaton.next(END_OF_STREAM) : undefined;
    this.#finished = true;
    this.#call?.abort();
    this.#events.ended(early ?? status);
  }

  // --- what the local call answers

  send(field: number, body: Buffer): void {
    if (!this.#headerSent) {
      this.#headerSent = true;
      this.#write(HEADER);
    }
    this.#write(field === HTTP_MESSAGE.trailer ? HTTP_TRAILER : gzipFrame(connectHttpResponse(field, body)));
  }

  end(status: RpcStatus): void {
    if (!this.#headerSent) this.#write(EMPTY_HEADER);
    this.#write(this.#headerSent ? TRAILER : TRAILER_WITH_METADATA);
    if (status.code !== OK.code) this.#write(gzipFrame(connectError(status.code, status.message)));
    this.#last = true;
    this.resumeRequests(); // or the end of the stream would never be read
  }

  pauseRequests(): void {
    this.#rpc.stream.pause();
  }

  resumeRequests(): void {
    this.#rpc.stream.resume();
  }

  #write(frame: Buffer): void {
    this.#pending.push(frame);
    if (this.#pending.length === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#pending;
    this.#pending = [];
    const bytes = frames.length === 1 ? frames[0]! : Buffer.concat(frames);
    if (this.#last) this.#rpc.end(bytes);
    else if (!this.#rpc.write(bytes)) this.#call?.pauseResponse();
  }
}

function unknownMethod(path: string): string {
  const slash = path.lastIndexOf('/');
  const service = path.slice(1, slash);
  return MAKE_REQUEST.startsWith(`/${service}/`)
    ? `unknown method ${path.slice(slash + 1)} for service ${service}`
    : `unknown service ${service}`;
}
