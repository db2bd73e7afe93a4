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

/** Why a message could not be inflated. */
export type GunzipFailure = 'too large' | 'corrupt';

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
  if (data.length < SMALLEST_MEMBER) return 'corrupt';
  const size = data.readUInt32LE(data.length - 4);
  if (size > maxBytes) return 'too large';
  if (size > data.length * BEST_RATIO) return 'corrupt';
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
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too large' : 'corrupt';
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
