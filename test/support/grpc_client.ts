import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { dial, type Endpoint } from './endpoint.ts';
import { within } from './wait.ts';

/** A connection as an agent has it, but under the test's control frame by frame. */
export interface GrpcConnection {
  readonly session: ClientHttp2Session;
  call(path: string, options?: CallOptions): GrpcStream;
  close(): void;
}

export interface CallOptions {
  /** The agent's token; default that of agent 1, `undefined` sends none. */
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Compress messages, as agentk does. */
  readonly gzip?: boolean;
}

export interface Status {
  /** -1 when the stream ended without one. */
  readonly code: number;
  readonly message: string;
}

export interface GrpcStream {
  readonly stream: ClientHttp2Stream;
  readonly headers: Promise<IncomingHttpHeaders>;
  readonly status: Promise<Status>;
  send(payload: Uint8Array): void;
  /** Bytes as they are, without a prefix of ours. */
  sendRaw(bytes: Uint8Array): void;
  sendMessage<D extends DescMessage>(schema: D, message: MessageInitShape<D>): void;
  halfClose(): void;
  /** The next message's payload, or undefined at the end. */
  next(withinMs?: number): Promise<Buffer | undefined>;
  nextMessage<D extends DescMessage>(schema: D, withinMs?: number): Promise<MessageShape<D>>;
  cancel(): void;
}

/** Connects natively: HTTP/2 on TCP, a UNIX socket, or TLS. */
export async function grpcConnection(endpoint: Endpoint): Promise<GrpcConnection> {
  return grpcOver(await dial(endpoint, ['h2']));
}

/** Speaks HTTP/2 on bytes that go somewhere, such as a WebSocket. */
export async function grpcOver(transport: Duplex, authority = 'http://kas.example'): Promise<GrpcConnection> {
  const session = connect(authority, { createConnection: () => transport });
  session.on('error', () => {});
  await within('the HTTP/2 connection', 10_000, once(session, 'connect'));
  return {
    session,
    call: (path, options = {}) => openCall(session, path, options),
    close: () => session.destroy(),
  };
}

function openCall(session: ClientHttp2Session, path: string, options: CallOptions): GrpcStream {
  const token = 'token' in options ? options.token : 'agent-token-1';
  const gzip = options.gzip ?? false;
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...(gzip && { 'grpc-encoding': 'gzip' }),
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...options.headers,
  });
  const messages = new MessageQueue();
  let head: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const headers = new Promise<IncomingHttpHeaders>((resolve) => {
    stream.on('response', (h) => {
      head = h;
      resolve(h);
    });
  });
  stream.on('trailers', (t) => {
    trailers = t;
  });
  stream.on('data', (chunk: Buffer) => messages.push(chunk));
  stream.on('error', () => {});
  const status = new Promise<Status>((resolve) => {
    stream.on('close', () => {
      messages.end();
      resolve(statusFrom(trailers['grpc-status'] === undefined ? head : trailers, stream));
    });
  });
  const sendRaw = (bytes: Uint8Array) => void stream.write(bytes);
  const send = (payload: Uint8Array) => sendRaw(envelope(payload, gzip));
  const next = (ms = 10_000) => within(`a message on ${path}`, ms, messages.next());
  return {
    stream,
    headers,
    status,
    send,
    sendRaw,
    sendMessage: (schema, message) => send(toBinary(schema, create(schema, message))),
    halfClose: () => stream.end(),
    next,
    async nextMessage(schema, ms) {
      const payload = await next(ms);
      if (payload === undefined) {
        const { code, message } = await status;
        throw new Error(`${path} ended instead of sending ${schema.typeName}: status ${code} ${message}`);
      }
      return fromBinary(schema, payload);
    },
    cancel: () => stream.close(constants.NGHTTP2_CANCEL),
  };
}

/** A gRPC message: flag, length, payload. */
export function envelope(payload: Uint8Array, gzip = false): Buffer {
  const body = gzip ? gzipSync(payload) : payload;
  const prefix = Buffer.alloc(5);
  prefix[0] = gzip ? 1 : 0;
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

function statusFrom(headers: IncomingHttpHeaders, stream: ClientHttp2Stream): Status {
  const code = headers['grpc-status'];
  if (code === undefined)
    return { code: -1, message: `no status; HTTP ${String(headers[':status'])}, RST_STREAM ${stream.rstCode}` };
  return { code: Number(code), message: decodeURIComponent(String(headers['grpc-message'] ?? '')) };
}

/** A call of one message each way. */
export async function unary<I extends DescMessage, O extends DescMessage>(
  connection: GrpcConnection,
  path: string,
  input: I,
  request: MessageInitShape<I>,
  output: O,
  options?: CallOptions,
): Promise<{ status: Status; response: MessageShape<O> | undefined }> {
  const call = connection.call(path, options);
  call.sendMessage(input, request);
  call.halfClose();
  const payload = await call.next();
  const status = await call.status;
  return { status, response: payload === undefined ? undefined : fromBinary(output, payload) };
}

class MessageQueue {
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake = () => {};

  push(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length >= 5) {
        const length = bytes.readUInt32BE(1);
        if (bytes.length >= 5 + length) {
          this.#bytes = bytes.subarray(5 + length);
          const payload = bytes.subarray(5, 5 + length);
          return bytes[0] === 1 ? gunzipSync(payload) : payload;
        }
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
