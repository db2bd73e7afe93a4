import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { borrowBuffer, returnBuffer } from './buffer_pool.ts';

/**
 * Inflating a gzip member in one go, for messages whose size is known to be small.
 *
 * Agents compress every message, so this runs several times per proxied request. `gunzipSync` builds and tears down an
 * inflater each time, which costs more than the inflating; one inflater that is reset costs about a third. Its handle is no
 * public API of Node (nor of Deno, where it works as well): it is used only where it looks as expected, its result is
 * accepted only when it says that exactly the announced bytes came out and all input went in, and everything else, errors
 * included, is done again by `gunzipSync`. This file is the only one that knows.
 */
interface InflateHandle {
  reset(): void;
  writeSync(
    flush: number,
    input: Buffer,
    inOffset: number,
    inLength: number,
    out: Buffer,
    outOffset: number,
    outLength: number,
  ): void;
}

interface Inflater {
  handle: InflateHandle;
  /** What the last write left: [room in the output, unread input]. */
  state: Uint32Array;
}

/** What is wrong with data that cannot be inflated, in the words of Go's gzip, which peers are used to. */
export type Corruption = 'unexpected EOF' | 'gzip: invalid header' | 'gzip: invalid checksum' | 'flate: corrupt input';

/** Why a message could not be inflated. */
export type GunzipFailure = 'too large' | Corruption;

/** The part of a header that every member has. */
const HEADER_BYTES = 10;
/** Two bytes that say gzip, and one that says deflate. */
const MAGIC = [0x1f, 0x8b, 8] as const;

/** A gzip member has at least a header of ten bytes, an empty deflate block and a trailer of eight. */
const SMALLEST_MEMBER = 20;
/** Deflate's best ratio is 1032:1; who announces more, lies. */
const BEST_RATIO = 1032;

let inflater: Inflater | undefined | null = null;
let handleFailed = false;

/**
 * Inflates `data` into a buffer that may be borrowed (buffer_pool.ts). The size stands in the last four bytes of a member, so a
 * bomb is refused before anything is inflated.
 */
export function gunzip(data: Buffer, maxBytes: number): Buffer | GunzipFailure {
  if (data.length < HEADER_BYTES) return 'unexpected EOF';
  if (data[0] !== MAGIC[0] || data[1] !== MAGIC[1] || data[2] !== MAGIC[2]) return 'gzip: invalid header';
  if (data.length < SMALLEST_MEMBER) return gunzipCarefully(data, 0, maxBytes);
  const size = data.readUInt32LE(data.length - 4);
  if (size > maxBytes) return 'too large';
  if (size > data.length * BEST_RATIO) return 'gzip: invalid checksum';
  if (inflater === null) inflater = openInflater();
  if (inflater !== undefined) {
    // One byte more than announced: an inflater that has filled its output may not have looked at the trailer.
    const out = borrowBuffer(size + 1);
    handleFailed = false;
    inflater.handle.reset();
    inflater.handle.writeSync(constants.Z_FINISH, data, 0, data.length, out, 0, size + 1);
    if (!handleFailed && inflater.state[0] === 1 && inflater.state[1] === 0) return out.subarray(0, size);
    returnBuffer(out);
  }
  return gunzipCarefully(data, size, maxBytes);
}

function gunzipCarefully(data: Buffer, size: number, maxBytes: number): Buffer | GunzipFailure {
  try {
    return gunzipSync(data, { chunkSize: Math.max(64, size + 1), maxOutputLength: maxBytes });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') return 'too large';
    return code === 'Z_BUF_ERROR' ? 'unexpected EOF' : corruptionOf(message);
  }
}

/** What zlib's text means. Where in the data it is, as Go says behind its last one, zlib does not tell. */
function corruptionOf(message: string): Corruption {
  switch (message) {
    case 'incorrect header check':
    case 'unknown header flags set':
    case 'unknown compression method':
    case 'header crc mismatch':
      return 'gzip: invalid header';
    case 'incorrect data check':
    case 'incorrect length check':
      return 'gzip: invalid checksum';
    default:
      return 'flate: corrupt input';
  }
}

function openInflater(): Inflater | undefined {
  const stream = createGunzip() as unknown as {
    _handle?: Partial<InflateHandle> & { onerror?: () => void };
    _writeState?: unknown;
  };
  const handle = stream._handle;
  const state = stream._writeState;
  if (typeof handle?.reset !== 'function' || typeof handle.writeSync !== 'function') return undefined;
  if (!(state instanceof Uint32Array) || state.length !== 2) return undefined;
  handle.onerror = () => {
    handleFailed = true;
  };
  return { handle: handle as InflateHandle, state };
}
