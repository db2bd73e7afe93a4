import type { RedisConnection } from './connection.ts';
import { decodeExpiring, type ExpiringValue } from './expiring_value.ts';
import { asArray, asBytes, type Command } from './reply.ts';
import type { Trouble } from './trouble.ts';

/** A field that has not expired. */
export interface LiveField extends ExpiringValue {
  readonly field: Buffer;
}

export interface ScanResult {
  readonly live: readonly LiveField[];
  readonly expired: readonly Buffer[];
}

/** How many fields an answer may have, about: a long hash must not hold up everybody's Redis. */
const FIELDS_AT_A_TIME = 500;

/**
 * All fields of a hash, piece by piece. Fields with anything but an ExpiringValue are skipped: other versions of the server
 * may have left them.
 */
export async function scanHash(
  redis: RedisConnection,
  key: Buffer,
  nowSeconds: number,
  trouble: Trouble,
): Promise<ScanResult> {
  const live = new Map<string, LiveField>(); // a scan may tell a field twice
  const expired: Buffer[] = [];
  let cursor = '0';
  do {
    const command: Command = ['HSCAN', key, cursor, 'COUNT', String(FIELDS_AT_A_TIME)];
    const [next, fields] = asArray(await redis.send(command));
    cursor = String(next);
    const pairs = asArray(fields ?? null);
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const field = asBytes(pairs[i]);
      const bytes = asBytes(pairs[i + 1]);
      if (field === undefined || bytes === undefined) continue;
      const value = decodeExpiring(bytes);
      if (value === undefined) trouble.garbage('Redis hash scan', key);
      else if (value.expiresAt < nowSeconds) expired.push(field);
      else live.set(field.toString('latin1'), { field, ...value });
    }
  } while (cursor !== '0');
  return { live: [...live.values()], expired };
}

/** Removes what a scan has found to be expired, without anybody waiting for it. */
export function removeExpired(redis: RedisConnection, key: Buffer, { expired }: ScanResult): void {
  if (expired.length > 0) redis.send(['HDEL', key, ...expired]).catch(() => {});
}
