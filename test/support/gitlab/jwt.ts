import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Checks a token as Rails does: HS256 with the shared secret, issuer, audience, and both times.
 * Returns what is wrong with it, or undefined.
 */
export function jwtProblem(token: string | undefined, secret: Buffer, nowMs: number): string | undefined {
  if (token === undefined || token === '') return 'no token';
  const [head, claims, signature, ...rest] = token.split('.');
  if (head === undefined || claims === undefined || signature === undefined || rest.length > 0)
    return 'not three parts';
  const header = parse(head);
  if (header?.alg !== 'HS256') return `algorithm ${String(header?.alg)}`;
  const expected = createHmac('sha256', secret).update(`${head}.${claims}`).digest();
  const actual = Buffer.from(signature, 'base64url');
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) return 'wrong signature';
  return claimsProblem(parse(claims), Math.floor(nowMs / 1000));
}

function claimsProblem(body: Record<string, unknown> | undefined, now: number): string | undefined {
  if (body === undefined) return 'claims are no JSON object';
  if (body.iss !== 'gitlab-kas') return `issuer ${String(body.iss)}`;
  const audience = body.aud;
  if (!(Array.isArray(audience) ? audience : [audience]).includes('gitlab')) return `audience ${String(audience)}`;
  const { exp, nbf } = body;
  if (typeof exp !== 'number' || exp <= now) return `expiry ${String(exp)}, now ${now}`;
  if (exp > now + 60) return `expires too late: ${exp}, now ${now}`;
  if (typeof nbf !== 'number' || nbf > now) return `not before ${String(nbf)}, now ${now}`;
  return undefined;
}

function parse(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
