import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { type GitPushEvent, GitPushEventSchema } from '../../gen/gitlab/agent/event/event_pb.ts';
import { Hint } from '../../observability/hints.ts';
import type { Log } from '../../observability/log.ts';
import { errorText } from '../../runtime/app_error.ts';
import type { EventBus, Unsubscribe } from '../event_bus.ts';
import { MemoryEventBus } from '../memory/event_bus.ts';
import type { RedisConnection } from './connection.ts';
import type { RedisLink } from './link.ts';
import type { Trouble } from './trouble.ts';

/** Without the prefix of keys: it is the same for all who share the Redis. */
const CHANNEL = 'kas_events';

/**
 * Events go through Redis and come back from it, those of this node too. While it does not bring them back, this node's own
 * subscribers hear at least what this node publishes.
 */
export class RedisEventBus implements EventBus {
  readonly #redis: RedisConnection;
  readonly #log: Log;
  readonly #trouble: Trouble;
  readonly #heard = new MemoryEventBus();
  #echoes = false;

  constructor(deps: { readonly redis: RedisConnection; readonly log: Log; readonly trouble: Trouble }) {
    this.#redis = deps.redis;
    this.#log = deps.log;
    this.#trouble = deps.trouble;
  }

  async publish(event: GitPushEvent): Promise<void> {
    const bytes = toBinary(AnySchema, anyPack(GitPushEventSchema, event));
    const echoes = this.#echoes;
    try {
      await this.#redis.send(['PUBLISH', CHANNEL, Buffer.from(bytes)]);
    } catch (error) {
      this.#hear(event);
      throw error;
    }
    if (!echoes) this.#hear(event);
  }

  subscribe(f: (event: GitPushEvent) => void): Unsubscribe {
    return this.#heard.subscribe(f);
  }

  /** Whether events come from Redis, this node's own among them. */
  get isFed(): boolean {
    return this.#echoes;
  }

  /** Makes a connection the one that events come from. */
  async listen(link: RedisLink): Promise<void> {
    await link.subscribe(CHANNEL, (message) => this.#receive(message));
    this.#echoes = true;
    void link.ended.then(() => {
      this.#echoes = false;
    });
  }

  #receive(message: Buffer): void {
    let event: GitPushEvent | undefined;
    try {
      event = anyUnpack(fromBinary(AnySchema, message), GitPushEventSchema);
    } catch (error) {
      this.#trouble.failed('receiver message in channel "kas_events" cannot be unmarshalled into proto message', error);
      return;
    }
    if (event === undefined)
      this.#trouble.failed('Unable to handle received event', new Error('it is of an unknown type'));
    else this.#hear(event);
  }

  #hear(event: GitPushEvent): void {
    this.#heard.publish(event).catch((error: unknown) => {
      this.#log.error('Defect: a subscriber to events has failed', { error: errorText(error), hint: Hint.defect });
    });
  }
}
