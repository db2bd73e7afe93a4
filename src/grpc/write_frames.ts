import type { Writable } from 'node:stream';

/** Bytes that may wait in one stream before its writer is told to stop. */
const WRITE_BUFFER_BYTES = 128 << 10;

/** Writes messages with their prefixes. False: wait for `drain`. Node says so sooner, for the few bytes of one message. */
export function writeFrames(stream: Writable, frames: Buffer): boolean {
  return stream.write(frames) || stream.writableLength < WRITE_BUFFER_BYTES;
}
