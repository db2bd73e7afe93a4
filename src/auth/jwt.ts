import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Secret } from '../config/secret.ts';
import { AppError } from '../runtime/app_error.ts';
import { StatusCode } from '../runtime/status_code.ts';

/** What a token must be to be accepted. */
export interface JwtRequirements {
  readonly secret: Secret;
  readonly audience: string;
  /** Undefined: anybody's. GitLab puts its host name there. */
  readonly issuer?: string;
}

const HASHES = new Map([
  ['HS256', 'sha256'],
  ['HS384', 'sha384'],
  ['HS512', 'sha512'],
]);

/**
 * Checks signature, times, audience and issuer, without leeway; a token without times has no end. Written out, because
 * other nodes send a token with every stream they forward, and a library's asynchronous way costs several times as much.
 *
 * @param nowMs wall clock, milliseconds since the epoch
 * @returns when the token expires, milliseconds since the epoch; Infinity if never
 * @throws AppError Unauthenticated `JWT validation failed`; its cause says why, without the token
 */
export function verifyJwt(token: string, required: JwtRequirements, nowMs: number): number {
  const problem = problemOf(token, required, Math.floor(nowMs / 1000));
  if (problem === undefined) return expiryOf(token);
  throw new AppError(StatusCode.Unauthenticated, 'JWT validation failed', { cause: new Error(problem) });
}

function problemOf(token: string, required: JwtRequirements, now: number): string | undefined {
  const [header, payload, signature, ...rest] = token.split('.');
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0) {
    return 'token is malformed: it does not have three parts';
  }
  const hash = HASHES.get(String(decode(header)?.alg));
  if (hash === undefined) return 'token is unverifiable: its algorithm is none of HS256, HS384, HS512';
  const expected = createHmac(hash, required.secret.reveal()).update(`${header}.${payload}`).digest();
  const received = Buffer.from(signature, 'base64url');
  if (received.length !== expected.length || !timingSafeEqual(received, expected)) {
    return 'token signature is invalid';
  }
  const claims = decode(payload);
  return claims === undefined
    ? 'token is malformed: its claims are no JSON object'
    : claimProblem(claims, required, now);
}

function claimProblem(claims: Record<string, unknown>, required: JwtRequirements, now: number): string | undefined {
  const { exp, nbf, aud, iss } = claims;
  // null is what Go's JSON takes for "not there"
  if (exp !== undefined && exp !== null && !(typeof exp === 'number' && now < exp)) return 'token is expired';
  if (nbf !== undefined && nbf !== null && !(typeof nbf === 'number' && now >= nbf)) return 'token is not valid yet';
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audiences.includes(required.audience)) return 'token has invalid audience';
  if (required.issuer !== undefined && iss !== required.issuer) return 'token has invalid issuer';
  return undefined;
}

function expiryOf(token: string): number {
  const exp = decode(token.split('.')[1] ?? '')?.exp;
  return typeof exp === 'number' ? exp * 1000 : Number.POSITIVE_INFINITY;
}

function decode(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
