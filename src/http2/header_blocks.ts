import { errorText } from '../runtime/app_error.ts';
import { ConnectionError } from './connection_error.ts';
import { ErrorCode } from './error_code.ts';
import { Flag, MAX_FRAME_BYTES } from './frame.ts';
import { headersFragment } from './frame_payloads.ts';
import { HpackDecoder } from './hpack/decoder.ts';
import { HpackError } from './hpack/hpack_error.ts';

/** What a header list may have: bytes as RFC 9113, 6.5.2 counts them. */
export interface HeaderListLimit {
  readonly bytes: number;
  readonly pairs: number;
}

/** A whole header block, decoded. */
export interface HeaderBlock {
  readonly streamId: number;
  /** The stream ends with it. */
  readonly end: boolean;
  /** Undefined: it is longer than it may be. */
  readonly list: string[] | undefined;
}

/** A block whose list nobody would look at: it is too long to be worth decoding. */
export class HeadersTooLarge extends ConnectionError {}

/** A view may keep so many times its bytes. */
const WASTE = 5;
/** Frames of a block, beyond those that its bytes need: each may be empty. */
const SPARE_FRAMES = 8;

/** Puts header blocks together from HEADERS and CONTINUATION (RFC 9113, 4.3) and decodes them. All throw ConnectionError. */
export class HeaderBlocks {
  readonly #limit: HeaderListLimit;
  readonly #hpack = new HpackDecoder();
  #parts: { readonly streamId: number; readonly end: boolean; readonly fragments: Buffer[]; bytes: number } | undefined;

  constructor(limit: HeaderListLimit) {
    this.#limit = limit;
  }

  /** The stream whose block has begun and not ended: nothing else may come before its end. */
  get unfinished(): number | undefined {
    return this.#parts?.streamId;
  }

  /** The block that is complete with this frame. */
  headers(flags: number, streamId: number, payload: Buffer): HeaderBlock | undefined {
    if (streamId % 2 === 0) throw new ConnectionError(ErrorCode.ProtocolError, 'clients have odd streams');
    const fragment = headersFragment(flags, streamId, payload);
    const end = (flags & Flag.EndStream) !== 0;
    if ((flags & Flag.EndHeaders) !== 0) return this.#decode(streamId, end, fragment);
    this.#parts = { streamId, end, fragments: [kept(fragment)], bytes: fragment.length };
    return undefined;
  }

  /** The same for a frame that goes on with it. */
  continuation(flags: number, payload: Buffer): HeaderBlock | undefined {
    const parts = this.#parts;
    if (parts === undefined) throw new ConnectionError(ErrorCode.ProtocolError, 'there is nothing to continue');
    parts.fragments.push(kept(payload));
    parts.bytes += payload.length;
    const { bytes } = this.#limit;
    if (parts.bytes > bytes || parts.fragments.length > SPARE_FRAMES + bytes / MAX_FRAME_BYTES) {
      throw new HeadersTooLarge(ErrorCode.EnhanceYourCalm, `header blocks have ${bytes} bytes at the most`);
    }
    if ((flags & Flag.EndHeaders) === 0) return undefined;
    this.#parts = undefined;
    return this.#decode(parts.streamId, parts.end, Buffer.concat(parts.fragments, parts.bytes));
  }

  #decode(streamId: number, end: boolean, block: Buffer): HeaderBlock {
    try {
      return { streamId, end, list: this.#hpack.decode(block, this.#limit) };
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new ConnectionError(ErrorCode.CompressionError, errorText(error));
    }
  }
}

/** A copy, unless that would be most of the buffer that the fragment is a view of. */
function kept(fragment: Buffer): Buffer {
  return fragment.length * WASTE >= fragment.buffer.byteLength ? fragment : Buffer.from(fragment);
}
