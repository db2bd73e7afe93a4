import type { RateLimit } from '../config.ts';
import { rate, uint32 } from '../schema/number.ts';
import { section } from '../schema/section.ts';

/** A token bucket's two numbers. */
export function rateLimitSection(options: { doc: string; refillRatePerSecond: number; bucketSize: number }) {
  return section({
    doc: options.doc,
    keys: {
      refill_rate_per_second: rate({ doc: 'Calls per second in the long run.', default: options.refillRatePerSecond }),
      bucket_size: uint32({ doc: 'Calls that may be made at once after a pause.', default: options.bucketSize }),
    },
  });
}

interface RateLimitKeys {
  readonly refill_rate_per_second: number;
  readonly bucket_size: number;
}

export function buildRateLimit(limit: RateLimitKeys): RateLimit {
  return { refillRatePerSecond: limit.refill_rate_per_second, bucketSize: limit.bucket_size };
}
