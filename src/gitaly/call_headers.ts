import { createHmac } from 'node:crypto';
import type { GitalyInfo } from '../gen/gitlab/agent/entity/entity_pb.ts';

/** Names that gRPC or HTTP/2 give a meaning of their own. */
const RESERVED = new Set(['authorization', 'content-type', 'te', 'user-agent', 'host', 'connection', 'content-length']);

/**
 * The metadata of each call: a token that proves for a while that the caller knows the secret, and GitLab's feature flags as
 * they came (docs/protocol/gitaly.md).
 * @param nowMs milliseconds since the Unix epoch
 */
export function callHeaders(
  gitaly: Pick<GitalyInfo, 'token' | 'features'>,
  userAgent: string,
  nowMs: number,
): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': userAgent };
  for (const [name, value] of Object.entries(gitaly.features)) {
    const key = name.toLowerCase();
    // What cannot be sent would fail every call to this Gitaly.
    if (/^[a-z0-9_.-]+$/.test(key) && /^[\x20-\x7e]*$/.test(value) && !RESERVED.has(key) && !key.startsWith('grpc-')) {
      headers[key] = value;
    }
  }
  if (gitaly.token !== '') headers.authorization = `Bearer ${tokenV2(gitaly.token, Math.floor(nowMs / 1000))}`;
  return headers;
}

function tokenV2(secret: string, seconds: number): string {
  const mac = createHmac('sha256', secret).update(String(seconds)).digest('hex');
  return `v2.${mac}.${seconds}`;
}
