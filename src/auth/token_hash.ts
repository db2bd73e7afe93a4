import { createHash } from 'node:crypto';

/** SHA-256 of the whole token (upstream's keys cover its first half only, so that unrelated tokens share entries). */
export function tokenHash(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
