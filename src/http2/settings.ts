import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';

const HEADER_TABLE_SIZE = 1;
const ENABLE_PUSH = 2;
const MAX_CONCURRENT_STREAMS = 3;
const INITIAL_WINDOW_SIZE = 4;
const MAX_FRAME_SIZE = 5;
const MAX_HEADER_LIST_SIZE = 6;

const SETTING_BYTES = 6;
export const DEFAULT_WINDOW_BYTES = 65_535;
export const MAX_WINDOW_BYTES = 0x7fff_ffff;
export const DEFAULT_TABLE_BYTES = 4096;

/** What a peer has told us of itself that we follow (RFC 9113, 6.5.2). */
export interface PeerSettings {
  headerTableBytes: number;
  maxConcurrentStreams: number;
  initialWindowBytes: number;
}

export function newPeerSettings(): PeerSettings {
  return {
    headerTableBytes: DEFAULT_TABLE_BYTES,
    maxConcurrentStreams: Number.POSITIVE_INFINITY,
    initialWindowBytes: DEFAULT_WINDOW_BYTES,
  };
}

/** Reads a SETTINGS frame into `settings`. @throws ConnectionError */
export function readSettings(payload: Buffer, settings: PeerSettings): void {
  if (payload.length % SETTING_BYTES !== 0) throw wrong(ErrorCode.FrameSizeError);
  for (let at = 0; at < payload.length; at += SETTING_BYTES) {
    const value = payload.readUInt32BE(at + 2);
    switch (payload.readUInt16BE(at)) {
      case HEADER_TABLE_SIZE:
        settings.headerTableBytes = value;
        break;
      case ENABLE_PUSH:
        if (value > 1) throw wrong(ErrorCode.ProtocolError);
        break;
      case MAX_CONCURRENT_STREAMS:
        settings.maxConcurrentStreams = value;
        break;
      case INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES) throw wrong(ErrorCode.FlowControlError);
        settings.initialWindowBytes = value;
        break;
      case MAX_FRAME_SIZE: // we send the smallest size
        if (value < 16_384 || value > 16_777_215) throw wrong(ErrorCode.ProtocolError);
        break;
    }
  }
}

function wrong(code: number): ConnectionError {
  return new ConnectionError(code, 'these SETTINGS are none');
}

/** What we tell a peer of ourselves; what is undefined stays as it is. */
export interface OurSettings {
  readonly initialWindowBytes?: number;
  readonly maxConcurrentStreams?: number;
  readonly maxHeaderListBytes?: number;
  readonly enablePush?: false;
}

/** The payload of our SETTINGS. */
export function settingsPayload(settings: OurSettings): Buffer {
  const pairs: [number, number][] = [];
  if (settings.enablePush === false) pairs.push([ENABLE_PUSH, 0]);
  if (settings.maxConcurrentStreams !== undefined) pairs.push([MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams]);
  if (settings.initialWindowBytes !== undefined) pairs.push([INITIAL_WINDOW_SIZE, settings.initialWindowBytes]);
  if (settings.maxHeaderListBytes !== undefined) pairs.push([MAX_HEADER_LIST_SIZE, settings.maxHeaderListBytes]);
  const payload = Buffer.alloc(pairs.length * SETTING_BYTES);
  for (const [i, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, i * SETTING_BYTES);
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2);
  }
  return payload;
}
