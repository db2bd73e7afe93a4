/** Types of frames (RFC 9113, 6). */
export const FrameType = {
  Data: 0,
  Headers: 1,
  Priority: 2,
  RstStream: 3,
  Settings: 4,
  PushPromise: 5,
  Ping: 6,
  GoAway: 7,
  WindowUpdate: 8,
  Continuation: 9,
} as const;

export const Flag = { EndStream: 1, Ack: 1, EndHeaders: 4, Padded: 8, Priority: 32 } as const;

export const FRAME_HEADER_BYTES = 9;
/** What every peer takes without asking, and the most that we take (RFC 9113, 4.2). */
export const MAX_FRAME_BYTES = 16_384;

/** What a client says before its first frame (RFC 9113, 3.4). */
export const CLIENT_PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Room for a frame, with its header written. */
export function newFrame(type: number, flags: number, streamId: number, payloadBytes: number): Buffer {
  return writeHead(Buffer.allocUnsafe(FRAME_HEADER_BYTES + payloadBytes), type, flags, streamId, payloadBytes);
}

/** Only the header: the payload follows by itself. */
export function frameHead(type: number, flags: number, streamId: number, payloadBytes: number): Buffer {
  return writeHead(Buffer.allocUnsafe(FRAME_HEADER_BYTES), type, flags, streamId, payloadBytes);
}

function writeHead(frame: Buffer, type: number, flags: number, streamId: number, payloadBytes: number): Buffer {
  frame[0] = payloadBytes >>> 16;
  frame[1] = payloadBytes >>> 8;
  frame[2] = payloadBytes;
  frame[3] = type;
  frame[4] = flags;
  frame[5] = streamId >>> 24;
  frame[6] = streamId >>> 16;
  frame[7] = streamId >>> 8;
  frame[8] = streamId;
  return frame;
}

/** RST_STREAM, WINDOW_UPDATE: frames with one number. */
export function numberFrame(type: number, streamId: number, value: number): Buffer {
  const frame = newFrame(type, 0, streamId, 4);
  frame.writeUInt32BE(value, FRAME_HEADER_BYTES);
  return frame;
}

export function pingFrame(flags: number, payload: Uint8Array): Buffer {
  const frame = newFrame(FrameType.Ping, flags, 0, 8);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

export function goAwayFrame(lastStreamId: number, code: number, debug: string): Buffer {
  const frame = newFrame(FrameType.GoAway, 0, 0, 8 + debug.length);
  frame.writeUInt32BE(lastStreamId, FRAME_HEADER_BYTES);
  frame.writeUInt32BE(code, FRAME_HEADER_BYTES + 4);
  frame.write(debug, FRAME_HEADER_BYTES + 8, 'latin1');
  return frame;
}
