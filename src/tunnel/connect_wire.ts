import { create, toBinary } from '@bufbuild/protobuf';
import { RequestInfoSchema } from '../gen/gitlab/agent/reverse_tunnel/rpc/reverse_tunnel_pb.ts';
import { PREFIX_BYTES } from '../grpc/frame.ts';
import type { Metadata } from '../grpc/metadata.ts';
import { varintSize, writeVarint } from '../grpc/protobuf_wire.ts';
import { AnswerPart } from './agent_answer.ts';

/**
 * The messages of ReverseTunnel/Connect, written in place (docs/protocol/tunnel.md). Each function returns whole gRPC
 * messages with their prefix, so that they can be put behind each other and leave in one write.
 */

/** Field numbers of ConnectRequest: what the agent says. */
export const FromAgent = { descriptor: 1, ...AnswerPart } as const;

const TAG_REQUEST_INFO = 0x0a;
const TAG_MESSAGE = 0x12;
const TAG_FIELD_1_BYTES = 0x0a;

/** ConnectResponse.request_info; most calls have no metadata, because agents need none (docs/protocol/tunnel.md, metadata). */
export function requestInfoFrame(methodName: string, metadata?: Metadata): Buffer {
  if (methodName !== lastMethod || metadata !== lastMetadata) {
    lastMethod = methodName;
    lastMetadata = metadata;
    lastRequestInfo =
      metadata === undefined ? encodeRequestInfo(methodName) : encodeRequestInfoWith(methodName, metadata);
  }
  return lastRequestInfo;
}

/** Nearly all calls are of one method and have no metadata, or all the same. */
let lastMethod: string | undefined;
let lastMetadata: Metadata | undefined;
let lastRequestInfo: Buffer = Buffer.alloc(0);

function encodeRequestInfo(methodName: string): Buffer {
  const nameBytes = Buffer.byteLength(methodName);
  const infoBytes = 1 + varintSize(nameBytes) + nameBytes;
  const frame = startFrame(TAG_REQUEST_INFO, infoBytes);
  let at = frame.length - infoBytes;
  frame[at++] = TAG_FIELD_1_BYTES;
  at = writeVarint(frame, at, nameBytes);
  frame.write(methodName, at);
  return frame;
}

function encodeRequestInfoWith(methodName: string, metadata: Metadata): Buffer {
  const meta = Object.fromEntries([...metadata].map(([key, value]) => [key, { value: [...value] }]));
  const info = toBinary(RequestInfoSchema, create(RequestInfoSchema, { methodName, meta }));
  const frame = startFrame(TAG_REQUEST_INFO, info.length);
  frame.set(info, frame.length - info.length);
  return frame;
}

/** How many bytes `writeMessageFrame` needs for a payload of `payloadBytes`. */
export function messageFrameSize(payloadBytes: number): number {
  const inner = messageSize(payloadBytes);
  return PREFIX_BYTES + 1 + varintSize(inner) + inner;
}

/** Writes ConnectResponse.message{data: payload} at `at`; returns the position behind it. */
export function writeMessageFrame(out: Buffer, at: number, payload: Uint8Array): number {
  const inner = messageSize(payload.length);
  out[at] = 0;
  out.writeUInt32BE(1 + varintSize(inner) + inner, at + 1);
  at += PREFIX_BYTES;
  out[at++] = TAG_MESSAGE;
  at = writeVarint(out, at, inner);
  if (payload.length === 0) return at; // proto3: the empty field is left out, its message is there
  out[at++] = TAG_FIELD_1_BYTES;
  at = writeVarint(out, at, payload.length);
  out.set(payload, at);
  return at + payload.length;
}

/** ConnectResponse.close_send. */
export const CLOSE_SEND_FRAME = Buffer.from([0, 0, 0, 0, 2, 0x1a, 0]);

function messageSize(payloadBytes: number): number {
  return payloadBytes === 0 ? 0 : 1 + varintSize(payloadBytes) + payloadBytes;
}

function startFrame(tag: number, innerBytes: number): Buffer {
  const bytes = 1 + varintSize(innerBytes) + innerBytes;
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + bytes);
  frame[0] = 0;
  frame.writeUInt32BE(bytes, 1);
  frame[PREFIX_BYTES] = tag;
  writeVarint(frame, PREFIX_BYTES + 1, innerBytes);
  return frame;
}
