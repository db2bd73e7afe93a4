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

/** GOAWAY's payload (RFC 9113, 6.8). */
export function goAwayPayload(lastStreamId: number, code: number, debug: string): Buffer {
  const payload = Buffer.alloc(8 + debug.length);
  payload.writeUInt32BE(lastStreamId);
  payload.writeUInt32BE(code, 4);
  payload.write(debug, 8, 'latin1');
  return payload;
}
