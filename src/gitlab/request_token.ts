import type { Secret } from '../config/secret.ts';
import { signJwt } from '../runtime/sign_jwt.ts';

/**
 * The JWT by which GitLab knows that this server is calling: valid from 5 s ago for 35 s. It says nothing but when it was made,
 * in seconds, so that all calls of a second have the same.
 */
export class RequestTokens {
  readonly #secret: Secret;
  #madeAt = Number.NaN;
  #token = '';

  constructor(secret: Secret) {
    this.#secret = secret;
  }

  at(wallMs: number): string {
    const now = Math.floor(wallMs / 1000);
    if (now !== this.#madeAt) {
      const claims = { iss: 'gitlab-kas', aud: ['gitlab'], exp: now + 30, nbf: now - 5, iat: now };
      this.#token = signJwt(this.#secret.reveal(), claims);
      this.#madeAt = now;
    }
    return this.#token;
  }
}
