import { createHmac } from 'node:crypto';
import type { GitalyInfo } from '../gen/gitlab/agent/entity/entity_pb.ts';

/** Names that gRPC or HTTP/2 give a meaning of their own. */
const RESERVED = new Set(['authorization', 'content-type', 'te', 'user-agent', 'host', 'connection', 'content-length']);

/**
 * The metadata of each call: a token that proves for a while that the caller knows the secret, and GitLab's feature flags as
 * they came (docs/protocol/gitaly.md).
 * @param authorization empty if there is none
 */
export function callHeaders(
  { features }: Pick<GitalyInfo, 'features'>,
  userAgent: string,
  authorization: string,
): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': userAgent };
  for (const [name, value] of Object.entries(features)) {
    const key = name.toLowerCase();
    // What cannot be sent would fail every call to this Gitaly.
    if (/^[a-z0-9_.-]+$/.test(key) && /^[\x20-\x7e]*$/.test(value) && !RESERVED.has(key) && !key.startsWith('grpc-')) {
      headers[key] = value;
    }
  }
  if (authorization !== '') headers.authorization = authorization;
  return headers;
}

/** The token of each second, for one secret: calls of the same second have the same. */
export class TokensV2 {
  readonly #secret: string;
  #madeAt = Number.NaN;
  #authorization = '';

  /** @param secret empty: calls carry no token */
  constructor(secret: string) {
    this.#secret = secret;
  }

  /** @param nowMs milliseconds since the Unix epoch */
  authorization(nowMs: number): string {
    const seconds = Math.floor(nowMs / 1000);
    if (this.#secret !== '' && seconds !== this.#madeAt) {
      const mac = createHmac('sha256', this.#secret).update(String(seconds)).digest('hex');
      this.#madeAt = seconds;
      this.#authorization = `Bearer v2.${mac}.${seconds}`;
    }
    return this.#authorization;
  }
}
