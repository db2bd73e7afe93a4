import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { Flag } from './frame.ts';

// What stands in the small frames, and the rules of RFC 9113, 6 whose breach ends the connection. All throw ConnectionError.

const STREAM_ID = 0x7fff_ffff;
const PRIORITY_BYTES = 5;

/** RST_STREAM's error code. */
export function readReset(streamId: number, payload: Buffer): number {
  onStream(streamId, 'RST_STREAM');
  hasBytes(payload, 4, 'RST_STREAM');
  return payload.readUInt32BE(0);
}

/** WINDOW_UPDATE's increment, in bytes; 0 is an error of the stream or the connection. */
export function readWindowUpdate(payload: Buffer): number {
  hasBytes(payload, 4, 'WINDOW_UPDATE');
  return payload.readUInt32BE(0) & STREAM_ID;
}

export function checkPing(streamId: number, payload: Buffer): void {
  onConnection(streamId, 'PING');
  hasBytes(payload, 8, 'PING');
}

export function readGoAway(
  streamId: number,
  payload: Buffer,
): { readonly lastStreamId: number; readonly code: number; readonly debug: string } {
  onConnection(streamId, 'GOAWAY');
  if (payload.length < 8) throw new ConnectionError(ErrorCode.FrameSizeError, 'GOAWAY has 8 bytes at least');
  return {
    lastStreamId: payload.readUInt32BE(0) & STREAM_ID,
    code: payload.readUInt32BE(4),
    debug: payload.toString('latin1', 8),
  };
}

/** The error of the stream that a PRIORITY frame is, or undefined. Priorities themselves mean nothing any more (RFC 9113, 5.3.2). */
export function priorityError(streamId: number, payload: Buffer): number | undefined {
  onStream(streamId, 'PRIORITY');
  if (payload.length !== PRIORITY_BYTES) return ErrorCode.FrameSizeError;
  return (payload.readUInt32BE(0) & STREAM_ID) === streamId ? ErrorCode.ProtocolError : undefined;
}

/** The header block in a HEADERS frame. */
export function headersFragment(flags: number, streamId: number, payload: Buffer): Buffer {
  const content = withoutPadding(flags, payload);
  if ((flags & Flag.Priority) === 0) return content;
  if (content.length < PRIORITY_BYTES) throw new ConnectionError(ErrorCode.FrameSizeError, 'HEADERS end too early');
  if ((content.readUInt32BE(0) & STREAM_ID) === streamId) {
    throw new ConnectionError(ErrorCode.ProtocolError, 'a stream cannot depend on itself');
  }
  return content.subarray(PRIORITY_BYTES);
}

export function withoutPadding(flags: number, payload: Buffer): Buffer {
  if ((flags & Flag.Padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) {
    throw new ConnectionError(ErrorCode.ProtocolError, 'more padding than frame');
  }
  return payload.subarray(1, payload.length - padding);
}

export function onConnection(streamId: number, frame: string): void {
  if (streamId !== 0) throw new ConnectionError(ErrorCode.ProtocolError, `${frame} is for the connection`);
}

function onStream(streamId: number, frame: string): void {
  if (streamId === 0) throw new ConnectionError(ErrorCode.ProtocolError, `${frame} needs a stream`);
}

function hasBytes(payload: Buffer, bytes: number, frame: string): void {
  if (payload.length !== bytes) throw new ConnectionError(ErrorCode.FrameSizeError, `${frame} has ${bytes} bytes`);
}
