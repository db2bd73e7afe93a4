import { type ExpiringValue, encodeExpiring } from './expiring_value.ts';

/**
 * The field of an agent whose last pod has left: expired for everybody, with the time that it was last heard of where
 * connected agents have nothing (docs/protocol/redis.md, when an agent was last seen).
 */
export function encodeGone(nowSeconds: number, lastSeenMs: number): Buffer {
  const value = Buffer.alloc(8);
  value.writeBigInt64LE(BigInt(lastSeenMs));
  return encodeExpiring(nowSeconds - 1, value);
}

/** When the agent was last heard of, by its field: at the latest when the field was written. */
export function decodeLastSeen({ expiresAt, value }: ExpiringValue, ttlMs: number): number {
  return value.length === 8 ? Number(Buffer.from(value).readBigInt64LE()) : expiresAt * 1000 - ttlMs;
}
