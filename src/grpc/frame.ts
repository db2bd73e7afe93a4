/** gRPC's prefix: compressed or not, and the length (docs/protocol/grpc.md). */
export const PREFIX_BYTES = 5;

/** Writes one uncompressed message with its prefix at `at`; returns the position behind it. */
export function writeFrame(out: Buffer, at: number, message: Uint8Array): number {
  out[at] = 0;
  out.writeUInt32BE(message.length, at + 1);
  out.set(message, at + PREFIX_BYTES);
  return at + PREFIX_BYTES + message.length;
}

/** One uncompressed message with its prefix. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  writeFrame(frame, 0, message);
  return frame;
}
