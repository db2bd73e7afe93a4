import { hash } from 'node:crypto';

/** SHA-256 of the whole token (upstream's keys cover its first half only, so that unrelated tokens share entries). */
export function tokenHash(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}
