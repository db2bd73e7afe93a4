import type { Secret } from '../config/secret.ts';
import { signJwt } from '../runtime/sign_jwt.ts';

/** The JWT by which GitLab knows that this server is calling: fresh for each call, valid from 5 s ago for 35 s. */
export function requestToken(secret: Secret, wallMs: number): string {
  const now = Math.floor(wallMs / 1000);
  return signJwt(secret.reveal(), { iss: 'gitlab-kas', aud: ['gitlab'], exp: now + 30, nbf: now - 5, iat: now });
}
