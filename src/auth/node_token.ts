import type { Secret } from '../config/secret.ts';
import type { Clock } from '../runtime/clock.ts';
import { signJwt } from '../runtime/sign_jwt.ts';
import { type JwtRequirements, verifyJwt } from './jwt.ts';

/** Both ends of a call between nodes. */
const NODES = 'gitlab-kas';
const VALID_SECONDS = 5;
/** More than there are nodes; a token is one node's for one second. */
const REMEMBERED = 256;

/** Makes the tokens by which other nodes know this one (docs/protocol/routing.md, between nodes). */
export class NodeTokens {
  readonly #secret: Secret;
  readonly #clock: Clock;
  #second = -1;
  #token = '';

  constructor(secret: Secret, clock: Clock) {
    this.#secret = secret;
    this.#clock = clock;
  }

  /** A token for one call. Its times are whole seconds, so those of one second are all the same one. */
  next(): string {
    const now = Math.floor(this.#clock.wallMs() / 1000);
    if (now !== this.#second) {
      this.#second = now;
      const claims = { iss: NODES, aud: [NODES], exp: now + VALID_SECONDS, nbf: now - VALID_SECONDS, iat: now };
      this.#token = signJwt(this.#secret.reveal(), claims);
    }
    return this.#token;
  }
}

/** Knows the tokens of other nodes, and those it has just seen without looking at the signature again. */
export class NodeTokenVerifier {
  readonly #required: JwtRequirements;
  readonly #clock: Clock;
  /** Until when each may be used: milliseconds since the epoch. */
  readonly #known = new Map<string, number>();

  constructor(secret: Secret, clock: Clock) {
    this.#required = { secret, audience: NODES, issuer: NODES };
    this.#clock = clock;
  }

  /** @throws AppError Unauthenticated; its cause says why, without the token */
  verify(token: string): void {
    const nowMs = this.#clock.wallMs();
    const untilMs = this.#known.get(token);
    if (untilMs !== undefined && nowMs < untilMs) return;
    const expiresAtMs = verifyJwt(token, this.#required, nowMs);
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    // A clock that is set back is noticed within the time that a token of ours lives.
    this.#known.set(token, Math.min(expiresAtMs, nowMs + VALID_SECONDS * 1000));
  }
}
