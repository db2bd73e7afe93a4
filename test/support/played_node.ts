import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { GatewayKasResponseSchema } from '../../src/gen/gitlab/agent/kas/kas_pb.ts';
import { type MessageHandler, MessageReader } from '../../src/grpc/message_reader.ts';
import { frame } from './doubles/grpc_frames.ts';

type Msg = NonNullable<MessageInitShape<typeof GatewayKasResponseSchema>['msg']>;

/** One call that a node under test makes to a played one. */
export interface PlayedCall {
  readonly headers: IncomingHttpHeaders;
  readonly stream: ServerHttp2Stream;
  /** What the node has sent, message by message. */
  readonly heard: string[];
  /** The same as bytes. */
  readonly messages: Buffer[];
  readonly state: { halfClosed: boolean; resetCode: number | undefined };
  says(msg: Msg, more?: { gzip?: boolean }): void;
  /** A message as it was recorded; the headers go before the first one, without `grpc-encoding`. */
  saysBytes(payload: Buffer): void;
  /** The headers alone end the call. */
  refuses(status: number, message: string): void;
  ends(status?: number): void;
}

/** Another node, played by a test. */
export async function playNode(onCall: (call: PlayedCall) => void) {
  const sessions = new Set<ServerHttp2Session>();
  const calls: PlayedCall[] = [];
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.once('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const call = played(stream, headers);
    calls.push(call);
    onCall(call);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `grpc://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    sessions,
    async close() {
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function played(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): PlayedCall {
  const heard: string[] = [];
  const messages: Buffer[] = [];
  const state = { halfClosed: false, resetCode: undefined as number | undefined };
  const handler: MessageHandler = {
    messageRead(payload) {
      heard.push(payload.toString());
      messages.push(Buffer.from(payload));
    },
    readFailed: (status) => void heard.push(`failed ${status.message}`),
  };
  const reader = new MessageReader(handler);
  stream.on('data', (chunk: Buffer) => reader.push(chunk));
  stream.on('end', () => {
    state.halfClosed = true;
  });
  stream.on('error', () => {});
  stream.on('close', () => {
    state.resetCode = stream.rstCode;
  });
  const respond = (encoding: Readonly<Record<string, string>> = { 'grpc-encoding': 'gzip' }) => {
    if (stream.headersSent) return;
    const responded = { ':status': 200, 'content-type': 'application/grpc+proto', ...encoding };
    stream.respond(responded, { waitForTrailers: true });
  };
  return {
    headers,
    stream,
    heard,
    messages,
    state,
    saysBytes(payload) {
      respond({});
      stream.write(frame(payload));
    },
    says(msg, more = {}) {
      respond();
      stream.write(frame(toBinary(GatewayKasResponseSchema, create(GatewayKasResponseSchema, { msg })), more));
    },
    refuses(status, message) {
      const trailers = { 'grpc-status': String(status), 'grpc-message': message };
      stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto', ...trailers }, { endStream: true });
    },
    ends(status = 0) {
      respond();
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status), 'grpc-message': '' }));
      stream.end();
    },
  };
}
