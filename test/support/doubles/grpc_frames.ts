import { gzipSync } from 'node:zlib';

/** One gRPC message with its prefix. */
export function frame(payload: Uint8Array, more: { gzip?: boolean } = {}): Buffer {
  const body = more.gzip ? gzipSync(payload) : payload;
  const prefix = Buffer.alloc(5);
  prefix[0] = more.gzip ? 1 : 0;
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

/** The payloads of whole, uncompressed gRPC messages. */
export function payloadsOf(frames: Buffer): Buffer[] {
  const payloads: Buffer[] = [];
  let at = 0;
  while (at < frames.length) {
    if (frames[at] !== 0) throw new Error(`compressed, or no frame, at ${at}`);
    const end = at + 5 + frames.readUInt32BE(at + 1);
    if (end > frames.length) throw new Error('an incomplete message');
    payloads.push(frames.subarray(at + 5, end));
    at = end;
  }
  return payloads;
}
