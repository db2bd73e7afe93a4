import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { ClientErrorSchema } from '../../gen/gitlab/agent/gitlab/gitlab_pb.ts';
import type { CachedError, ErrorCache, Known, LeftAnswer, LookupKinds } from '../error_cache.ts';
import { MemoryErrorCache } from '../memory/error_cache.ts';
import type { AskingDeps } from './asking_deps.ts';
import { asArray, asBytes } from './reply.ts';

/** Commands in one write, when a node leaves answers of thousands of agents behind. */
const AT_ONCE = 500;

/** Refusals and answers, as strings with a time to live. What was refused here is known here, too, for when Redis is away. */
export class RedisErrorCache implements ErrorCache {
  readonly #deps: AskingDeps;
  readonly #here: MemoryErrorCache;

  constructor(deps: AskingDeps) {
    this.#deps = deps;
    this.#here = new MemoryErrorCache(deps.clock);
  }

  async get(kind: string, hash: Buffer): Promise<CachedError | undefined> {
    const key = this.#deps.keys.lookup(kind, hash);
    try {
      const bytes = asBytes(await this.#deps.patience.wait(this.#deps.redis.send(['GET', key])));
      return bytes && this.#decode(bytes, key);
    } catch (error) {
      this.#deps.trouble.failed('Failed to get cached error from Redis', error);
      return this.#here.get(kind, hash);
    }
  }

  async set(kind: string, hash: Buffer, error: CachedError, ttlMs: number): Promise<void> {
    await this.#here.set(kind, hash, error, ttlMs);
    const key = this.#deps.keys.lookup(kind, hash);
    try {
      await this.#deps.patience.wait(
        this.#deps.redis.send(['SET', key, encode(error), 'PX', String(Math.ceil(ttlMs))]),
      );
    } catch (failure) {
      this.#deps.trouble.failed('Failed to cache error in Redis', failure);
    }
  }

  async look({ errors, answers }: LookupKinds, hash: Buffer): Promise<Known> {
    const key = this.#deps.keys.lookup(errors, hash);
    try {
      const asked = this.#deps.redis.send(['MGET', key, this.#deps.keys.lookup(answers, hash)]);
      const [error, answer] = asArray(await this.#deps.patience.wait(asked)).map(asBytes);
      return { error: error && this.#decode(error, key), answer };
    } catch (error) {
      this.#deps.trouble.failed('Failed to get cached error from Redis', error);
      return this.#here.look({ errors, answers }, hash);
    }
  }

  async leaveBehind({ answers: kind }: LookupKinds, answers: readonly LeftAnswer[]): Promise<void> {
    for (let from = 0; from < answers.length; from += AT_ONCE) {
      const sent = answers
        .slice(from, from + AT_ONCE)
        .map(({ hash, answer, ttlMs }) =>
          this.#deps.redis.send(['SET', this.#deps.keys.lookup(kind, hash), answer, 'PX', String(Math.ceil(ttlMs))]),
        );
      await this.#deps.patience.wait(Promise.all(sent));
    }
  }

  #decode(bytes: Buffer, key: Buffer): CachedError | undefined {
    try {
      const error = anyUnpack(fromBinary(AnySchema, bytes), ClientErrorSchema);
      if (error !== undefined) return { status: error.statusCode, path: error.path, reason: error.reason };
    } catch {
      // As if it were of another type.
    }
    this.#deps.trouble.garbage('Failed to unmarshal cached error', key);
    return undefined;
  }
}

function encode({ status, path, reason }: CachedError): Buffer {
  const error = create(ClientErrorSchema, { statusCode: status, path, reason });
  return Buffer.from(toBinary(AnySchema, anyPack(ClientErrorSchema, error)));
}
