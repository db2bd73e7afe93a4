import { createHmac, timingSafeEqual } from 'node:crypto';

/** What is wrong with a call's `authorization`, as Gitaly checks it; undefined if nothing is. */
export function tokenProblem(authorization: string | undefined, secret: string, nowMs: number): string | undefined {
  if (secret === '') return undefined;
  const [, mac = '', time = ''] = /^Bearer v2\.([0-9a-f]{64})\.(\d+)$/.exec(authorization ?? '') ?? [];
  if (mac === '') return 'permission denied: no v2 token';
  if (Math.abs(nowMs / 1000 - Number(time)) > 30) return 'permission denied: token has expired';
  const right = createHmac('sha256', secret).update(time).digest();
  return timingSafeEqual(Buffer.from(mac, 'hex'), right) ? undefined : 'permission denied: wrong token';
}
