import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { ClientErrorSchema } from '../../gen/gitlab/agent/gitlab/gitlab_pb.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CachedError, ErrorCache, Known, LookupKinds, SharedAnswer } from '../error_cache.ts';
import { MemoryErrorCache } from '../memory/error_cache.ts';
import type { RedisConnection } from './connection.ts';
import type { Keys } from './keys.ts';
import type { Patience } from './patience.ts';
import { asBytes } from './reply.ts';
import type { Trouble } from './trouble.ts';

/** Answers in one command. */
const AT_ONCE = 100;
/** Answers lie in a hash for the time in which they were given, which goes as a whole. */
const PERIOD_MS = 300_000;

/**
 * Refusals as strings with a time to live, answers in hashes. What was refused here is known here, too, for when Redis is away.
 */
export class RedisErrorCache implements ErrorCache {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly #patience: Patience;
  readonly #trouble: Trouble;
  readonly #here: MemoryErrorCache;

  constructor(deps: {
    readonly redis: RedisConnection;
    readonly keys: Keys;
    readonly clock: Clock;
    readonly patience: Patience;
    readonly trouble: Trouble;
  }) {
    this.#redis = deps.redis;
    this.#keys = deps.keys;
    this.#clock = deps.clock;
    this.#patience = deps.patience;
    this.#trouble = deps.trouble;
    this.#here = new MemoryErrorCache(deps.clock);
  }

  async get(kind: string, hash: Buffer): Promise<CachedError | undefined> {
    const key = this.#keys.refusal(kind, hash);
    try {
      const bytes = asBytes(await this.#patience.wait(this.#redis.send(['GET', key])));
      return bytes && this.#decode(bytes, key);
    } catch (error) {
      this.#trouble.failed('Failed to get cached error from Redis', error);
      return this.#here.get(kind, hash);
    }
  }

  async set(kind: string, hash: Buffer, error: CachedError, ttlMs: number): Promise<void> {
    await this.#here.set(kind, hash, error, ttlMs);
    const key = this.#keys.refusal(kind, hash);
    try {
      await this.#patience.wait(this.#redis.send(['SET', key, encode(error), 'PX', String(Math.ceil(ttlMs))]));
    } catch (failure) {
      this.#trouble.failed('Failed to cache error in Redis', failure);
    }
  }

  async look({ errors, answers }: LookupKinds, hash: Buffer): Promise<Known> {
    const [error, answer] = await Promise.all([this.get(errors, hash), this.#findAnswer(answers, hash)]);
    return { error, answer };
  }

  async share({ answers: kind }: LookupKinds, answers: readonly SharedAnswer[]): Promise<void> {
    const key = this.#keys.answers(kind, this.#period);
    const sent: Promise<unknown>[] = [];
    for (let from = 0; from < answers.length; from += AT_ONCE) {
      const fields = answers.slice(from, from + AT_ONCE).flatMap(({ hash, answer }) => [hash, answer]);
      sent.push(this.#redis.send(['HSET', key, ...fields]));
    }
    sent.push(this.#redis.send(['PEXPIRE', key, String(2 * PERIOD_MS)]));
    try {
      await this.#patience.wait(Promise.all(sent));
    } catch (error) {
      this.#trouble.failed('Failed to share what GitLab said', error);
      throw error;
    }
  }

  get #period(): number {
    return Math.floor(this.#clock.wallMs() / PERIOD_MS);
  }

  /** In this period or the one before. */
  async #findAnswer(kind: string, hash: Buffer): Promise<Buffer | undefined> {
    const period = this.#period;
    const asked = [period, period - 1].map((at) => this.#redis.send(['HGET', this.#keys.answers(kind, at), hash]));
    try {
      const found = (await this.#patience.wait(Promise.all(asked))).map(asBytes);
      return found.find((answer) => answer !== undefined);
    } catch (error) {
      this.#trouble.failed('Failed to get what GitLab said from Redis', error);
      return undefined;
    }
  }

  #decode(bytes: Buffer, key: Buffer): CachedError | undefined {
    try {
      const error = anyUnpack(fromBinary(AnySchema, bytes), ClientErrorSchema);
      if (error !== undefined) return { status: error.statusCode, path: error.path, reason: error.reason };
    } catch {
      // As if it were of another type.
    }
    this.#trouble.garbage('Failed to unmarshal cached error', key);
    return undefined;
  }
}

function encode({ status, path, reason }: CachedError): Buffer {
  const error = create(ClientErrorSchema, { statusCode: status, path, reason });
  return Buffer.from(toBinary(AnySchema, anyPack(ClientErrorSchema, error)));
}
