import { gunzipSync, gzipSync } from 'node:zlib';

/** gRPC's five-byte prefix and gzip. agentk compresses every message, even empty ones (docs/protocol/agent.md). */
export function gzipFrame(message: Uint8Array): Buffer {
  // A deflate state as large as the message needs: with the defaults, small messages pay mostly for its 256 KiB.
  const small = message.length < 512;
  const zipped = gzipSync(message, {
    chunkSize: message.length + 64,
    windowBits: small ? 9 : message.length < 8192 ? 13 : 15,
    memLevel: small ? 1 : message.length < 8192 ? 5 : 8,
  });
  return frame(zipped, 1);
}

/** A frame with the compressed flag as given; `payload` goes out as it is. */
export function frame(payload: Uint8Array, compressed: 0 | 1): Buffer {
  const out = Buffer.allocUnsafe(5 + payload.length);
  out[0] = compressed;
  out.writeUInt32BE(payload.length, 1);
  out.set(payload, 5);
  return out;
}

/** Cuts a byte stream into gRPC messages. */
export class FrameSplitter {
  #rest: Buffer | undefined;
  readonly #onMessage: (message: Buffer) => void;

  /** @param onMessage gets each message's payload, decompressed */
  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** Throws when a message is larger than 4 MiB or cannot be unpacked. */
  push(chunk: Buffer): void {
    const buffer = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (buffer.length - at >= 5) {
      const length = buffer.readUInt32BE(at + 1);
      if (length > MAX_MESSAGE)
        throw new Error(`grpc: received message larger than max (${length} vs. ${MAX_MESSAGE})`);
      const end = at + 5 + length;
      if (end > buffer.length) break;
      const payload = buffer.subarray(at + 5, end);
      const message = buffer[at] === 1 ? gunzip(payload) : payload;
      at = end;
      this.#onMessage(message);
    }
    this.#rest = at < buffer.length ? buffer.subarray(at) : undefined;
  }
}

const MAX_MESSAGE = 4 << 20;

function gunzip(payload: Buffer): Buffer {
  // The content's size stands in the last four bytes, so one buffer of the right size will do.
  const size = payload.length < 4 ? 0 : payload.readUInt32LE(payload.length - 4);
  return gunzipSync(payload, {
    chunkSize: Math.min(Math.max(64, size + 1), MAX_MESSAGE),
    maxOutputLength: MAX_MESSAGE,
  });
}
