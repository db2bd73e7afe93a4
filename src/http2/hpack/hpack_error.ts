/** A block that is no HPACK: the connection cannot go on (RFC 9113, 4.3: COMPRESSION_ERROR). */
export class HpackError extends Error {
  override readonly name = 'HpackError';
}
