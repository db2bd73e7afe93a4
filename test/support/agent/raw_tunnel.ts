import http2 from 'node:http2';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  ConnectRequestSchema,
  type ConnectResponse,
  ConnectResponseSchema,
} from '../../../src/gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { kasTarget } from './dial.ts';
import { frame, gzipFrame } from './grpc_frames.ts';
import type { ChannelOptions } from './options.ts';
import { Rpc, type RpcStatus, rpcHeaders } from './rpc.ts';
import { CONNECT_PATH } from './tunnel.ts';

/** One Connect call without manners: sends whatever a test wants, in whatever order. */
export interface RawTunnel {
  send(message: MessageInitShape<typeof ConnectRequestSchema>, more?: { gzip?: boolean }): void;
  /** Bytes of the HTTP/2 stream, gRPC's prefix included. */
  sendBytes(bytes: Uint8Array): void;
  halfClose(): void;
  /** RST_STREAM(CANCEL). */
  cancel(): void;
  /** Stops and goes on reading: a slow agent. */
  pause(): void;
  resume(): void;
  /** What kas sends next; undefined when the call has ended. */
  receive(): Promise<ConnectResponse | undefined>;
  /** How kas ended the call. */
  readonly ended: Promise<RpcStatus>;
  /** Cuts the connection. */
  close(): void;
}

export interface RawTunnelOptions extends ChannelOptions {
  /** Default: the Connect method that agentk calls. */
  readonly path?: string;
}

/** Opens a Connect call on a connection of its own. Nothing is sent by itself, not even a descriptor. */
export function openRawTunnel(options: RawTunnelOptions): RawTunnel {
  const target = kasTarget(options, 'raw-tunnel');
  const transport = target.dial();
  transport.on('error', () => {}); // the session tells the same
  const session = http2.connect('http://kas', { createConnection: () => transport });
  session.on('error', () => {}); // the call tells the same
  const received: ConnectResponse[] = [];
  const waiting: ((message: ConnectResponse | undefined) => void)[] = [];
  let over = false;
  const { promise: ended, resolve } = Promise.withResolvers<RpcStatus>();
  const headers = {
    ...rpcHeaders(target.authority, options.token, 'raw-tunnel', target.metadata),
    ':path': options.path ?? CONNECT_PATH,
  };
  const rpc = new Rpc(session, headers, {
    onMessage: (bytes) => {
      const message = fromBinary(ConnectResponseSchema, bytes);
      const receiver = waiting.shift();
      if (receiver === undefined) received.push(message);
      else receiver(message);
    },
    onEnd: (status) => {
      over = true;
      for (const receiver of waiting.splice(0)) receiver(undefined);
      resolve(status);
    },
  });
  return {
    send: (message, { gzip = true } = {}) => {
      const bytes = toBinary(ConnectRequestSchema, create(ConnectRequestSchema, message));
      rpc.write(gzip ? gzipFrame(bytes) : frame(bytes, 0));
    },
    sendBytes: (bytes) => void rpc.write(Buffer.from(bytes)),
    halfClose: () => rpc.end(),
    cancel: () => rpc.cancel(),
    pause: () => rpc.stream.pause(),
    resume: () => rpc.stream.resume(),
    receive: () => {
      const message = received.shift();
      if (message !== undefined) return Promise.resolve(message);
      return over ? Promise.resolve(undefined) : new Promise((receiver) => waiting.push(receiver));
    },
    ended,
    close: () => session.destroy(),
  };
}
