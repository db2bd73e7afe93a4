import { createHmac } from 'node:crypto';
import type { Secret } from '../config/secret.ts';

const HEADER = encode({ alg: 'HS256', typ: 'JWT' });

/** The JWT by which GitLab knows that this server is calling: fresh for each call, valid from 5 s ago for 35 s. */
export function requestToken(secret: Secret, wallMs: number): string {
  const now = Math.floor(wallMs / 1000);
  const claims = encode({ iss: 'gitlab-kas', aud: ['gitlab'], exp: now + 30, nbf: now - 5, iat: now });
  const signature = createHmac('sha256', secret.reveal()).update(`${HEADER}.${claims}`).digest('base64url');
  return `${HEADER}.${claims}.${signature}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
