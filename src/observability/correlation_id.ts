import { systemClock } from '../runtime/clock.ts';
import { systemRandom } from '../runtime/random.ts';

/** HTTP header, in lower case, in which ids come in and go to GitLab. */
export const REQUEST_ID_HEADER = 'x-request-id';

/** The same in metadata of gRPC calls: to Gitaly, between nodes, and from whoever calls us. */
export const CORRELATION_METADATA = 'x-gitlab-correlation-id';

/** What other people's ids look like: no blank, no quote, nothing that a header or a log line could be broken with. */
const VALID = /^[A-Za-z0-9._:;=/+@~-]{1,128}$/;

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_CHARS = 10;
const RANDOM_CHARS = 16;
const POOL_BYTES = 4096;

let pool: Buffer = Buffer.alloc(0);
let at = 0;

/** An id from outside, if it may be kept (docs/protocol/logs.md, correlation). */
export function validCorrelationId(value: string | undefined): string | undefined {
  return value !== undefined && VALID.test(value) ? value : undefined;
}

/**
 * A new id: a ULID, as GitLab's other services make them. Nothing depends on which one, so it takes time and chance as they
 * are.
 */
export function newCorrelationId(): string {
  if (at + RANDOM_CHARS > pool.length) {
    pool = systemRandom.bytes(POOL_BYTES);
    at = 0;
  }
  let time = '';
  for (let left = systemClock.wallMs(), i = 0; i < TIME_CHARS; i++) {
    time = ALPHABET.charAt(left % 32) + time;
    left = Math.floor(left / 32);
  }
  let random = '';
  for (let i = 0; i < RANDOM_CHARS; i++) random += ALPHABET.charAt((pool[at++] ?? 0) & 31);
  return time + random;
}
